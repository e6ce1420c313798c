"""BLIP's original file, model_large_caption.pth: its names and sizes, as transformers' BLIP has them."""

import math
import re
from pathlib import Path
from typing import Any

import torch
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from sd_scripts.library.data.vae_encoder import best_device
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io import hub
from sd_scripts.library.io.reading import read_text
from sd_scripts.library.tagging.captioner import first_line

Tensors = dict[str, torch.Tensor]

VOCABULARY = "google-bert/bert-base-uncased"

# The width of an attention head, in the picture's part and in the text's, of every BLIP that was published.
HEAD_WIDTH = 64

# The original picture encoder's own, a fifth of transformers' default (timm's ViT: 1e-6).
VISION_NORM_EPS = 1e-6

# The text decoder is called the same in both; of the picture encoder, these parts are not.
_RENAMED = (
    (r"^visual_encoder\.cls_token$", "vision_model.embeddings.class_embedding"),
    (r"^visual_encoder\.pos_embed$", "vision_model.embeddings.position_embedding"),
    (r"^visual_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual_encoder\.norm\.", "vision_model.post_layernorm."),
    (r"^visual_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"^visual_encoder\.blocks\.(\d+)\.attn\.proj\.", r"vision_model.encoder.layers.\1.self_attn.projection."),
    (r"^visual_encoder\.blocks\.(\d+)\.attn\.qkv\.", r"vision_model.encoder.layers.\1.self_attn.qkv."),
    (r"^visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
)


def load_original(path: Path) -> tuple[BlipForConditionalGeneration, BertTokenizer, BlipImageProcessorPil]:
    """The model, its tokenizer and its image processor. Nothing in the file is run. Errors: BadOption, BadFile."""
    tensors = {transformers_name(name): tensor for name, tensor in _read(path).items()}
    tokenizer = _tokenizer_for(path)
    try:
        config = _config_of(tensors, tokenizer)
    except (KeyError, IndexError, ValueError) as error:
        raise BadFile(f"{path} is no BLIP caption model: it lacks {first_line(error)}.") from error
    _check_vocabulary(path, config, tokenizer)
    model = BlipForConditionalGeneration(config)
    _fill(model, tensors, path)
    side_px = config.vision_config.image_size
    processor = BlipImageProcessorPil(size={"height": side_px, "width": side_px})
    return model.eval().to(best_device()), tokenizer, processor


def transformers_name(name: str) -> str:
    """What transformers calls a tensor of the original file."""
    for pattern, replacement in _RENAMED:
        name, changed = re.subn(pattern, replacement, name)
        if changed:
            return name
    return name


def _read(path: Path) -> Tensors:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zip's and torch's own
        raise BadFile(f"{path} cannot be opened as weights: it is broken, or holds more than tensors.") from error
    tensors = found.get("model", found) if isinstance(found, dict) else {}
    kept = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    if not any(name.startswith("visual_encoder.") for name in kept):
        raise BadFile(f"{path} is no BLIP caption model in the original layout (model_large_caption.pth).")
    return kept


def _tokenizer_for(path: Path) -> BertTokenizer:
    """The vocabulary beside the file, else from the hub: the file itself has none."""
    beside = path.with_name("vocab.txt")
    try:
        return _tokenizer(beside if beside.is_file() else _from_hub())
    except BadOption as error:
        what = f"needs BERT's vocabulary, and the hub cannot be reached. Put vocab.txt of {VOCABULARY} beside it"
        raise BadOption("caption_weights", f"--caption_weights {path}: this file {what}.") from error


def _from_hub() -> Path:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(VOCABULARY, "vocab.txt")
    if isinstance(cached, str):
        return Path(cached)
    hub.file_names(VOCABULARY, "caption_weights")
    return hub.download(VOCABULARY, "vocab.txt")


def _tokenizer(path: Path) -> BertTokenizer:
    try:
        words = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as a vocabulary ({error}).") from error
    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(words)})
    if not {"[PAD]", "[UNK]", "[CLS]", "[SEP]"} <= set(words):
        raise BadFile(f"{path} is no BERT vocabulary: [PAD], [UNK], [CLS] or [SEP] is missing.")
    return tokenizer


def _config_of(tensors: Tensors, tokenizer: BertTokenizer) -> BlipConfig:
    """Sizes from the weights; only the heads' width cannot be read there."""
    vision, text = "vision_model.embeddings", "text_decoder.bert"
    hidden, _, patch_px, _ = tensors[f"{vision}.patch_embedding.weight"].shape
    patches = tensors[f"{vision}.position_embedding"].shape[1] - 1
    words, text_hidden = tensors[f"{text}.embeddings.word_embeddings.weight"].shape
    return BlipConfig(
        vision_config={
            "hidden_size": hidden,
            "intermediate_size": tensors["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": _layers(tensors, r"vision_model\.encoder\.layers\.(\d+)\."),
            "num_attention_heads": max(1, hidden // HEAD_WIDTH),
            "image_size": math.isqrt(patches) * patch_px,
            "patch_size": patch_px,
            "layer_norm_eps": VISION_NORM_EPS,
        },
        text_config={
            "vocab_size": words,
            "hidden_size": text_hidden,
            "encoder_hidden_size": hidden,
            "intermediate_size": tensors[f"{text}.encoder.layer.0.intermediate.dense.weight"].shape[0],
            "num_hidden_layers": _layers(tensors, r"text_decoder\.bert\.encoder\.layer\.(\d+)\."),
            "num_attention_heads": max(1, text_hidden // HEAD_WIDTH),
            "max_position_embeddings": tensors[f"{text}.embeddings.position_embeddings.weight"].shape[0],
            # [DEC], which begins a sentence, and [ENC] stand behind BERT's own words.
            "bos_token_id": len(tokenizer),
            "sep_token_id": tokenizer.sep_token_id,
            "eos_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )


def _layers(tensors: Tensors, pattern: str) -> int:
    return 1 + max(int(found[1]) for found in map(re.compile(pattern).match, tensors) if found)


def _check_vocabulary(path: Path, config: BlipConfig, tokenizer: BertTokenizer) -> None:
    words = config.text_config.vocab_size
    if words != len(tokenizer) + 2:
        raise BadFile(
            f"{path} knows {words:,} words, but its vocabulary has {len(tokenizer) + 2:,}: they are not a pair."
        )


def _fill(model: Any, tensors: Tensors, path: Path) -> None:
    needed = model.state_dict()
    lacking = [name for name in needed if name not in tensors or tensors[name].shape != needed[name].shape]
    if lacking:
        raise BadFile(f"{path} is not complete: it lacks {lacking[0]}, or has it in another shape.")
    model.load_state_dict({name: tensors[name] for name in needed}, strict=True)
