"""Tiny captioners and taggers with random weights, in the true layouts: BLIP, GIT, WD14 and DeepDanbooru.

They open as any model does, and know nothing: what they write is nonsense in the right form.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

SEED = 42

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = (
    "a the of in on with and two three old small large red green blue white black yellow bright dark wooden wet "
    "picture photo cat dog bird horse man woman child cup coin clock rocket tree flower field street wall window "
    "table sky sea hill river boat bridge house door lamp book hand face hair sitting standing looking lying next "
    "to near under ."
)
_GENERAL = (
    "1girl solo long_hair short_hair blue_eyes smile open_mouth hat dress white_shirt outdoors indoors sky tree "
    "flower cat dog bird horse food cup book window night water no_humans still_life photo_(medium) "
    "traditional_media monochrome ^_^"
)
_CHARACTERS = "hatsune_miku alice_(wonderland) holo_(spice_and_wolf) rin_(swimsuit)_(fate)"
_RATINGS = ("general", "sensitive", "questionable", "explicit")
_CSV_NUMBERS = {"general": 0, "artist": 1, "copyright": 3, "character": 4, "meta": 5, "rating": 9}


def make_blip(folder: Path) -> Path:
    """A BLIP folder as transformers saves it: model, tokenizer, image processor."""
    model, tokenizer, processor = _blip()
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
    return folder


def make_blip_original(path: Path) -> Path:
    """BLIP's original .pth, with the vocabulary in vocab.txt beside it."""
    import torch

    model, tokenizer, _ = _blip(head_width=64)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": {original_name(name): tensor for name, tensor in model.state_dict().items()}}, path)
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    path.with_name("vocab.txt").write_text("".join(f"{word}\n" for word, _ in words), encoding="utf-8")
    return path


def original_name(name: str) -> str:
    """What BLIP's original file calls a tensor of transformers' BLIP."""
    for theirs, original in (
        ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
        ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
        ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
        ("vision_model.post_layernorm", "visual_encoder.norm"),
        ("vision_model.encoder.layers", "visual_encoder.blocks"),
        ("self_attn.projection", "attn.proj"),
        ("self_attn.qkv", "attn.qkv"),
        ("layer_norm", "norm"),
    ):
        name = name.replace(theirs, original)
    return name


def make_git(folder: Path) -> Path:
    """A GIT folder as transformers saves it: model, tokenizer, image processor."""
    import torch
    from transformers import GitConfig, GitForCausalLM
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = _tokenizer()
    config = GitConfig(
        vision_config={**_SIZES, "image_size": 32, "patch_size": 16, "initializer_range": 0.3},
        **_SIZES,
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(SEED)
    model = GitForCausalLM(config)
    _prefer_words(model.output.bias, tokenizer, end=4.0)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
    return folder


def make_wd14(folder: Path, layout: Literal["csv", "mapping"] = "csv", batch_size: int | None = None) -> Path:
    """A WD14 folder: model.onnx with selected_tags.csv, or model_optimized.onnx with tag_mapping.json.

    The first takes (N,448,448,3) and gives confidences, the second takes (N,3,448,448) and gives logits and knows more
    categories. `batch_size`: a size that the model insists on.
    """
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    tags = [(name, "rating") for name in _RATINGS]
    tags += [(name, "general") for name in _GENERAL.split()] + [(name, "character") for name in _CHARACTERS.split()]
    if layout == "csv":
        rows = [
            f"{place},{name},{_CSV_NUMBERS[category]},{1000 - place}" for place, (name, category) in enumerate(tags)
        ]
        (folder / "selected_tags.csv").write_text(
            "\n".join(["tag_id,name,category,count", *rows]) + "\n", encoding="utf-8"
        )
        onnx.save(_wd14_model(len(tags), batch_size, planes_first=False), folder / "model.onnx")
        return folder
    tags += [("vocaloid", "copyright"), ("some_artist", "artist"), ("highres", "meta"), ("some_model", "model")]
    tags += [("best_quality", "quality"), ("worst_quality", "quality")]
    mapping = {
        str(place): {"tag": name, "category": category.capitalize()} for place, (name, category) in enumerate(tags)
    }
    (folder / "tag_mapping.json").write_text(json.dumps(mapping, indent=2), encoding="utf-8")
    onnx.save(_wd14_model(len(tags), batch_size, planes_first=True), folder / "model_optimized.onnx")
    return folder


def make_deepdanbooru(folder: Path, ending: Literal[".keras", ".h5"] = ".keras") -> Path:
    """A DeepDanbooru project: project.json, tags.txt and a Keras model of 64 x 64 px pictures."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    tags = [*_GENERAL.split(), "rating:safe", "rating:questionable", "rating:explicit"]
    keras.utils.set_random_seed(SEED)
    spread = keras.initializers.RandomNormal(stddev=0.5, seed=SEED)
    pixels = keras.Input((64, 64, 3))
    hidden = keras.layers.Conv2D(8, 7, strides=4, padding="same", use_bias=False, kernel_initializer=spread)(pixels)
    hidden = keras.layers.ReLU()(keras.layers.BatchNormalization()(hidden))
    hidden = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(hidden))
    # Below 0, most tags stay unsaid.
    doubt = keras.initializers.Constant(-2.0)
    hidden = keras.layers.Dense(len(tags), kernel_initializer=spread, bias_initializer=doubt)(hidden)
    model = keras.Model(pixels, keras.layers.Activation("sigmoid")(hidden))
    model.save(folder / f"model-tiny_resnet{ending}")
    (folder / "tags.txt").write_text("".join(f"{tag}\n" for tag in tags), encoding="utf-8")
    project = {"image_width": 64, "image_height": 64, "model": "tiny_resnet", "minimum_tag_count": 20}
    (folder / "project.json").write_text(json.dumps(project, indent=2), encoding="utf-8")
    return folder


_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}


def _tokenizer() -> Any:
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = dict.fromkeys([*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *_WORDS.split()])
    return BertTokenizer(vocab={word: place for place, word in enumerate(words)}, model_max_length=512)


def _blip(head_width: int = 32) -> tuple[Any, Any, Any]:
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer = _tokenizer()
    sizes = {**_SIZES, "num_attention_heads": _SIZES["hidden_size"] // head_width, "initializer_range": 0.3}
    text = {
        **sizes,
        # [DEC] and [ENC] stand behind BERT's own words.
        "vocab_size": len(tokenizer) + 2,
        "encoder_hidden_size": sizes["hidden_size"],
        "max_position_embeddings": 128,
        "bos_token_id": len(tokenizer),
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(SEED)
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    with torch.no_grad():
        # As trained ones are: transformers would begin with zeros, and every picture would look the same.
        for name in ("class_embedding", "position_embedding"):
            getattr(model.vision_model.embeddings, name).normal_(std=0.3)
    _prefer_words(model.text_decoder.cls.predictions.decoder.bias, tokenizer, end=4.0)
    return model, tokenizer, BlipImageProcessorPil(size={"height": 32, "width": 32})


def _prefer_words(bias: Any, tokenizer: Any, end: float) -> None:
    """Whole words, and now and then an end: as a trained model writes."""
    import torch

    with torch.no_grad():
        bias.fill_(-100.0)
        bias[[place for word, place in tokenizer.get_vocab().items() if word in _WORDS.split()]] = 0.0
        bias[tokenizer.sep_token_id] = end


def _wd14_model(tags: int, batch_size: int | None, planes_first: bool) -> Any:
    """A linear look at 8 x 8 averages of the picture."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(SEED).normal(0.0, 0.35, (8 * 8 * 3, tags)).astype(np.float32)
    weights -= weights.mean(axis=0)
    # Pixels come as -1..1, or as 0..255: then x / 127.5 - 1 is part of the weights. Below 0, most tags stay unsaid.
    bias = np.full(tags, -3.0, np.float32) - (0.0 if planes_first else 1.0) * weights.sum(axis=0)
    weights = weights / (1.0 if planes_first else 127.5)
    constants = [numpy_helper.from_array(weights.astype(np.float32), "weights"), numpy_helper.from_array(bias, "bias")]
    nodes = [
        helper.make_node("AveragePool", ["planes"], ["averages"], kernel_shape=[56, 56], strides=[56, 56]),
        helper.make_node("Flatten", ["averages"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
    ]
    side = (3, 448, 448) if planes_first else (448, 448, 3)
    if not planes_first:
        nodes.insert(0, helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]))
        nodes.append(helper.make_node("Sigmoid", ["logits"], ["confidences"]))
    size = batch_size or "N"
    pixels = helper.make_tensor_value_info("planes" if planes_first else "pixels", TensorProto.FLOAT, [size, *side])
    output = helper.make_tensor_value_info("logits" if planes_first else "confidences", TensorProto.FLOAT, [size, tags])
    graph = helper.make_graph(nodes, "tiny_tagger", [pixels], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
