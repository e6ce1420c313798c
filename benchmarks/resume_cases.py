"""Trainings that are interrupted and resumed: every method with every feature that could make a difference."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A training: a script with options. `resumed`: those that are others when it is resumed."""

    method: str
    feature: str
    script: str
    values: Values
    resumed: Values = field(default_factory=dict)
    model: str = "sd1"

    @property
    def name(self) -> str:
        return f"{self.method}, {self.feature}"


# {method: (script, model, its options)}
METHODS: dict[str, tuple[str, str, Values]] = {
    "full": ("fine_tune.py", "sd1", {}),
    "DreamBooth": ("train_db.py", "sd1", {"save_model_as": "safetensors"}),
    "LoRA": ("train_network.py", "sd1", {"network_module": "networks.lora", "network_dropout": 0.1}),
    "LyCORIS": (
        "train_network.py",
        "sd1",
        # It draws its rank from Python's own generator.
        {"network_module": "lycoris.kohya", "network_args": ["algo=dylora", "block_size=1"]},
    ),
    "inversion": (
        "train_textual_inversion.py",
        "sd1",
        {"token_string": "zork", "init_word": "cat", "use_object_template": True, "save_model_as": "safetensors"},
    ),
    "hypernetwork": (
        "train_hypernetwork.py",
        "sd1",
        {"layer_structure": [1, 2, 2, 1], "use_dropout": True, "save_model_as": "safetensors"},
    ),
    "full XL": ("sdxl_train.py", "sdxl", {"train_text_encoder": True}),
    "LoRA XL": ("sdxl_train_network.py", "sdxl", {"network_module": "networks.lora"}),
    "inversion XL": (
        "sdxl_train_textual_inversion.py",
        "sdxl",
        {"token_string": "zork", "use_style_template": True, "save_model_as": "safetensors"},
    ),
}

AUGMENTED = {"flip_aug": True, "color_aug": True, "random_crop": True}
TEXTS = {
    "shuffle_caption": True,
    "caption_dropout_rate": 0.3,
    "caption_tag_dropout_rate": 0.3,
    "keep_tokens": 1,
    "token_warmup_step": 6,
}
NOISE = {"noise_offset": 0.1, "noise_offset_random_strength": True, "multires_noise_iterations": 2}
SAMPLES = {"sample_every_n_steps": 1, "sample_prompts": "{here}/prompts.txt", "sample_at_first": True}
CLASS = {"lr_scheduler_type": "StepLR", "lr_scheduler_args": ["step_size=3", "gamma=0.5"]}

# {feature: (options, those that are others when it is resumed)}
FEATURES: dict[str, tuple[Values, Values]] = {
    "nothing else": ({}, {}),
    "accumulation": ({"gradient_accumulation_steps": 2}, {}),
    "2 workers, then none": ({"max_data_loader_n_workers": 2}, {"max_data_loader_n_workers": 0}),
    "no worker, then 3": ({}, {"max_data_loader_n_workers": 3, "persistent_data_loader_workers": True}),
    "augmentation": (AUGMENTED, {}),
    "texts by lot": (TEXTS, {}),
    "noise": (NOISE, {}),
    "latents on disk": ({"cache_latents": True, "cache_latents_to_disk": True, "flip_aug": True}, {}),
    "samples in between": (SAMPLES, {"sample_at_first": False}),
    "samples only afterwards": ({}, SAMPLES),
    "average": ({"ema_decay": 0.9}, {}),
    "schedule": ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2, "lr_warmup_steps": 3}, {}),
    "scheduler class": (CLASS, {}),
    "validation": ({"validation_split": 0.3, "validate_every_n_steps": 3, "keep_best": True}, {}),
    "checkpointing": ({"gradient_checkpointing": True}, {}),
    "text encoder stops": ({"stop_text_encoder_training": 7}, {}),
    "AdamW8bit": ({"optimizer_type": "AdamW8bit"}, {}),
    "Prodigy": ({"optimizer_type": "Prodigy", "learning_rate": 1.0}, {}),
    "AdaFactor's own rates": ({"optimizer_type": "AdaFactor"}, {}),
    "schedule-free": ({"optimizer_type": "AdamWScheduleFree"}, {}),
    # They draw from Python's and numpy's own generators.
    "SaRA": ({"optimizer_type": "SaRA"}, {}),
    "Kron": ({"optimizer_type": "Kron"}, {}),
    "bf16": ({"mixed_precision": "bf16"}, {}),
}

EVERYTHING = ("accumulation", "2 workers, then none", "augmentation", "texts by lot", "noise", "samples in between",
              "average", "schedule", "validation")  # fmt: skip
"""Features that go together: one training with all of them."""

# What a method has not: a network's and a word's text encoder is none of its own to stop.
_NOT_FOR = {
    "text encoder stops": ("inversion", "hypernetwork", "inversion XL"),
    # It learns in portions of weights, which a word is too small for.
    "SaRA": ("inversion", "inversion XL"),
}


def cases() -> list[Case]:
    """Every method with every feature that it has, and with many at once; those of the large model last."""
    features = {"many at once": _together(), **FEATURES}
    found = [
        _case(method, feature, *features[feature])
        for feature in features
        for method in METHODS
        if method not in _NOT_FOR.get(feature, ())
    ]
    return sorted(found, key=lambda case: case.model == "sdxl")


def _case(method: str, feature: str, given: Values, resumed: Values) -> Case:
    script, model, values = METHODS[method]
    texts = {"train_text_encoder": True} if script == "fine_tune.py" else {}
    return Case(method, feature, script, {**values, **texts, **given}, resumed, model)


def _together() -> tuple[Values, Values]:
    given: Values = {}
    resumed: Values = {}
    for name in EVERYTHING:
        given |= FEATURES[name][0]
        resumed |= FEATURES[name][1]
    return given, resumed


def needed(case: Case, here: Path) -> Values:
    """The options that every training has."""
    given: Values = {
        "pretrained_model_name_or_path": f"{here}/{case.model}.safetensors",
        "train_data_dir": f"{here}/named" if case.script == "train_db.py" else f"{here}/pictures",
        "output_name": "X",
        "resolution": "64",
        "enable_bucket": True,
        "min_bucket_reso": 64,
        "max_bucket_reso": 128,
        "train_batch_size": 2,
        "learning_rate": 1e-3,
        "seed": 1,
        "max_data_loader_n_workers": 0,
        "save_state": True,
        "save_every_n_epochs": 2,
    }
    return given if case.script == "train_db.py" else {"in_json": f"{here}/meta.json", **given}
