"""Captioners and taggers to measure with: random weights in the true architecture, in true or reduced size."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from benchmarks.models import Size

WORDS = 30_522
"""Of BERT's vocabulary, which BLIP and GIT write with."""

TAGS = {"wd14": 10_861, "deepdanbooru": 9_176}
RATINGS = 4
OFTEN = {"mean": -4.0, "std": 1.2}
"""What is added to the logits of a tagger: some 30 of 10,000 tags then reach the threshold, as of a true one."""

END_BIAS = 8.0
"""At this, a word of 30,000 that are equally likely is the end in one of ten cases."""

PATCH_PX = 16
WD14_PX, BLIP_PX, GIT_PX = 448, 384, 224
DEEPDANBOORU_PX = 512


def make_wd14(folder: Path, size: "Size", kind: Literal["vit", "convnext"] = "vit") -> Path:
    """A WD14 folder, model.onnx and selected_tags.csv: takes (N,448,448,3) BGR bytes as floats, gives confidences."""
    import torch

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = _with_pixels(_classifier(kind, size)).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(2, WD14_PX, WD14_PX, 3),),
            folder / "model.onnx",
            input_names=["pixels"],
            output_names=["confidences"],
            dynamic_axes={"pixels": {0: "N"}, "confidences": {0: "N"}},
            dynamo=False,
        )
    rows = [f"{number},tag_number_{number},{9 if number < RATINGS else 0},1" for number in range(TAGS["wd14"])]
    (folder / "selected_tags.csv").write_text("\n".join(["tag_id,name,category,count", *rows]) + "\n")
    return folder


def _classifier(kind: str, size: "Size") -> Any:
    import torch
    from transformers import ConvNextConfig, ConvNextForImageClassification, ViTConfig, ViTForImageClassification

    vit = {"tiny": (32, 1), "reduced": (192, 4), "true": (768, 12)}[size]
    widths = {"tiny": [16, 32], "reduced": [48, 96, 192, 384], "true": [128, 256, 512, 1024]}[size]
    depths = {"tiny": [1, 1], "reduced": [1, 1, 3, 1], "true": [3, 3, 27, 3]}[size]
    if kind == "vit":
        sizes = _transformer(*vit)
        model: Any = ViTForImageClassification(
            ViTConfig(**sizes, image_size=WD14_PX, patch_size=PATCH_PX, num_labels=TAGS["wd14"])
        )
    else:
        model = ConvNextForImageClassification(
            ConvNextConfig(num_stages=len(depths), hidden_sizes=widths, depths=depths, num_labels=TAGS["wd14"])
        )
    torch.nn.init.normal_(model.classifier.bias, **OFTEN)
    return model


def _with_pixels(classifier: Any) -> Any:
    """The classifier, with planes and pixels as it wants them."""
    import torch

    class Wd14(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, pixels_BHWC: torch.Tensor) -> torch.Tensor:
            return self.classifier(pixels_BHWC.permute(0, 3, 1, 2) / 127.5 - 1.0).logits.sigmoid()

    return Wd14()


def make_blip(folder: Path, size: "Size") -> Path:
    """A BLIP folder as transformers saves it; "true" is the large one."""
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer = _tokenizer()
    seen = _transformer(*{"tiny": (64, 1), "reduced": (192, 4), "true": (1024, 24)}[size])
    written = _transformer(*{"tiny": (64, 1), "reduced": (192, 3), "true": (768, 12)}[size])
    text = {
        "vocab_size": WORDS + 2,
        "encoder_hidden_size": seen["hidden_size"],
        "bos_token_id": WORDS,
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    vision = {**seen, "image_size": BLIP_PX, "patch_size": PATCH_PX}
    model = BlipForConditionalGeneration(BlipConfig(text_config={**written, **text}, vision_config=vision))
    _end_sometimes(model.text_decoder.cls.predictions.decoder.bias, tokenizer)
    processor = BlipImageProcessorPil(size={"height": BLIP_PX, "width": BLIP_PX})
    return _saved(folder, model, tokenizer, processor)


def make_git(folder: Path, size: "Size") -> Path:
    """A GIT folder as transformers saves it; "true" is the large one."""
    import torch
    from transformers import GitConfig, GitForCausalLM
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = _tokenizer()
    seen = _transformer(*{"tiny": (64, 1), "reduced": (256, 6), "true": (1024, 24)}[size])
    written = _transformer(*{"tiny": (64, 1), "reduced": (192, 3), "true": (768, 6)}[size])
    torch.manual_seed(0)
    model = GitForCausalLM(
        GitConfig(
            vision_config={**seen, "image_size": GIT_PX, "patch_size": 14},
            **written,
            vocab_size=WORDS,
            max_position_embeddings=1024,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # The likeliest word is taken, and no word is the end: a sentence becomes as long as it may be.
    torch.nn.init.zeros_(model.output.bias)
    processor = CLIPImageProcessorPil(size={"shortest_edge": GIT_PX}, crop_size={"height": GIT_PX, "width": GIT_PX})
    return _saved(folder, model, tokenizer, processor)


def make_deepdanbooru(folder: Path, size: "Size") -> Path:
    """A DeepDanbooru project; "true" has the size of its ResNet for 512 x 512 px."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    folder.mkdir(parents=True)
    keras.utils.set_random_seed(0)
    side_px, tags = DEEPDANBOORU_PX, TAGS["deepdanbooru"]
    often = keras.initializers.RandomNormal(mean=OFTEN["mean"], stddev=OFTEN["std"], seed=0)
    if size == "true":
        body = keras.applications.ResNet152(include_top=False, weights=None, input_shape=(side_px, side_px, 3))
        pixels, hidden = body.input, body.output
    else:
        pixels = hidden = keras.Input((side_px, side_px, 3))
        for width in (16, 64, 128, 256, 256):
            hidden = _residual(keras, hidden, width)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    output = keras.layers.Dense(tags, activation="sigmoid", bias_initializer=often)(hidden)
    keras.Model(pixels, output).save(folder / "model-resnet.keras")
    (folder / "tags.txt").write_text("".join(f"tag_{number}\n" for number in range(tags)))
    (folder / "project.json").write_text('{"model": "resnet"}')
    return folder


def _residual(keras: Any, hidden: Any, width: int) -> Any:
    halved = keras.layers.Conv2D(width, 3, strides=2, padding="same")(hidden)
    inner = keras.layers.ReLU()(keras.layers.BatchNormalization()(halved))
    inner = keras.layers.Conv2D(width, 3, padding="same")(inner)
    return keras.layers.ReLU()(keras.layers.Add()([halved, keras.layers.BatchNormalization()(inner)]))


def _transformer(width: int, layers: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // 64),
    }


def _tokenizer() -> Any:
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    # "a picture of " is what sentences begin with.
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", *letters[1:]]
    words += [f"##{letter}" for letter in letters]
    words += [f"word{number}" for number in range(WORDS - len(words))]
    return BertTokenizer(vocab={word: place for place, word in enumerate(words)}, model_max_length=512)


def _end_sometimes(bias: Any, tokenizer: Any) -> None:
    import torch

    with torch.no_grad():
        bias.zero_()
        bias[tokenizer.sep_token_id] = END_BIAS


def _saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder
