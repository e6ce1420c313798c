"""Facts of a training for the header of the saved file: the field's ss_* keys; no secrets, no paths of this machine."""

import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from sd_scripts.library.data.dataset_facts import header_facts
from sd_scripts.library.data.training_data import TrainingData
from sd_scripts.library.io.hashes import file_hashes
from sd_scripts.library.io.headers import in_utf8
from sd_scripts.library.train.about import model_spec
from sd_scripts.library.train.course import Course, Place
from sd_scripts.library.train.optimizers import described
from sd_scripts.options.spec import flat_values
from sd_scripts.options.trainer import TrainerOptions

# Options whose value stands in the header as it is, under ss_<name>.
_AS_GIVEN = (
    "v2", "learning_rate", "lr_warmup_steps", "gradient_accumulation_steps", "gradient_checkpointing",
    "mixed_precision", "full_fp16", "clip_skip", "max_token_length", "max_grad_norm", "output_name",
    "shuffle_caption", "keep_tokens", "caption_dropout_rate", "caption_dropout_every_n_epochs",
    "caption_tag_dropout_rate", "cache_latents", "enable_bucket", "bucket_no_upscale", "min_bucket_reso",
    "max_bucket_reso", "flip_aug", "color_aug", "random_crop", "face_crop_aug_range", "alpha_mask", "masked_loss",
    "resize_interpolation", "noise_offset", "noise_offset_random_strength", "adaptive_noise_scale",
    "multires_noise_iterations", "multires_noise_discount", "ip_noise_gamma", "ip_noise_gamma_random_strength",
    "zero_terminal_snr", "min_timestep", "max_timestep", "loss_type", "huber_schedule", "huber_c", "huber_scale",
    "learning_rate_te1", "learning_rate_te2", "block_lr",
    "min_snr_gamma", "scale_v_pred_loss_like_noise_pred", "v_pred_like_loss", "fp8_base", "lowram",
    "network_module", "network_dim", "network_alpha", "network_dropout", "unet_lr", "scale_weight_norms",
    "fp8_base_unet", "training_comment", "prior_loss_weight",
    "validation_split", "validation_seed", "validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps",
    "token_string", "init_word", "num_vectors_per_token", "use_object_template", "use_style_template",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """What a file tells of its training, save for when it was written."""

    fixed: dict[str, str]
    course: Course

    def branched(self, branches: list[dict[str, Any]]) -> "Provenance":
        """With the places on the way where options changed, and which."""
        return replace(self, fixed=self.fixed | {"ss_branches": json.dumps(branches)}) if branches else self

    def at(self, place: Place) -> dict[str, str]:
        """The keys of a file that is written now."""
        epoch = place.epoch + (1 if place.window else 0)
        now = {"ss_steps": place.step, "ss_epoch": epoch, "ss_training_finished_at": time.time()}
        return self.fixed | {key: str(value) for key, value in now.items()}


def provenance(
    options: TrainerOptions, base_version: str, data: TrainingData, course: Course, seed: int, processes: int
) -> Provenance:
    """Collects what is known before the first step."""
    values = flat_values(options)
    batch_size, plan = options.length.train_batch_size, data.plan(0, seed, processes)
    text_rate = values.get("learning_rate_te", _text_rate(values.get("text_encoder_lr")))
    facts: dict[str, Any] = {f"ss_{name}": values[name] for name in _AS_GIVEN if name in values}
    facts |= {
        **_origin("sd_model", values["pretrained_model_name_or_path"]),
        **_origin("vae", values["vae"]),
        "ss_base_model_version": base_version,
        "ss_session_id": random.SystemRandom().randrange(2**32),
        "ss_optimizer": described(options.optimizer),
        "ss_lr_scheduler": options.schedule.lr_scheduler_type or options.schedule.lr_scheduler,
        **({} if text_rate is None else {"ss_text_encoder_lr": text_rate}),
        "ss_seed": seed,
        "ss_debiased_estimation": options.loss.debiased_estimation_loss,
        "ss_batch_size_per_device": batch_size,
        "ss_total_batch_size": batch_size * processes * options.length.gradient_accumulation_steps,
        "ss_num_batches_per_epoch": len(plan),
        "ss_num_epochs": course.epochs,
        "ss_max_train_steps": course.total_steps,
        "ss_cache_latents": values["cache_latents"] or values["cache_latents_to_disk"],
        **header_facts(data, plan),
        "ss_training_started_at": time.time(),
        "modelspec.resolution": _resolution(data),
        **model_spec(options),
    }
    return Provenance(in_utf8({key: str(value) for key, value in facts.items()}), course)


def _text_rate(rates: list[float] | None) -> float | list[float] | None:
    """The rate of a network's part in the text encoder; of several encoders a list."""
    return rates[0] if rates and len(rates) == 1 else rates or None


def _origin(part: str, name: str | None) -> dict[str, str]:
    """The name of a file that was read, and its hashes as other programs know it."""
    if not name:
        return {}
    hashes = file_hashes(Path(name)) if Path(name).is_file() else None
    known = {f"ss_{part}_hash": hashes.legacy, f"ss_new_{part}_hash": hashes.sha256} if hashes else {}
    return {f"ss_{part}_name": _bare(name) or "", **known}


def _bare(name: str | None) -> str | None:
    """The last part of a path, which tells nothing of this machine."""
    return PurePath(name.replace("\\", "/")).name if name else None


def _resolution(data: TrainingData) -> str:
    """The largest size that is trained."""
    width, height = max((image.bucket_px for image in data.images), key=lambda px: (px[0] * px[1], px))
    return f"{width}x{height}"
