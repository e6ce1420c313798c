"""Good input of every parser, and the words that its grammar knows: what fuzzing begins with."""

import io
import json
import struct

import numpy as np

_DATASET = {"datasets": [{"resolution": [64, 64], "batch_size": 2, "subsets": [{"image_dir": "a", "num_repeats": 2}]}]}
_PRESET = {
    "version": 2,
    "stage": "train_lora",
    "name": "a",
    "description": "b",
    "scope": "changes",
    "values": {"seed": 1},
}
_TOML = b'[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "a"\nkeep_tokens = 1\n'
_KOHYA = {
    "LoRA_type": "Standard",
    "learning_rate": 1e-4,
    "max_train_epochs": 3,
    "optimizer": "AdamW8bit",
    "unet_lr": "x",
}
_COMMAND = (
    b'accelerate launch --num_cpu_threads_per_process 1 train_network.py --learning_rate=1e-4 --seed 1 --unet_lr "2"'
)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _safetensors() -> bytes:
    head = _json({"__metadata__": {"ss_seed": "1"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})
    return struct.pack("<Q", len(head)) + head + bytes(8)


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _pickle() -> bytes:
    import pickle
    from collections import OrderedDict

    return pickle.dumps({"state_dict": OrderedDict(a=1)}, 2)


_ROWS = b'{"image_path": "a", "caption": "b", "tags": "c"}\n'
_PROMPT = b"a (cat:1.2), {b|c} --n bad --w 64 --h 64 --d 1 --l 7.5 --s 20 --ss euler_a\n"
_RULES = b'version = 1\n[tags]\n[captions]\nreplace = [{ from = ["cat"], to = "lion" }]\n'
_CONFIG = b"[training]\nlearning_rate = 1e-4\nseed = 1\nkeep_tokens = 2\n"

SEEDS: dict[str, list[bytes]] = {
    "importing": [_COMMAND, _json(_KOHYA), _json(_PRESET), _CONFIG, _json({"__metadata__": {"ss_seed": "1"}})],
    "model_header": [_json({"ss_seed": "1", "ss_datasets": "[{}]", "ss_network_args": "{}"})[1:-1]],
    "commands": [_COMMAND, b"set A=1 && python x.py --a ^\r\n --b", b"$env:A = 1; python x.py `\n --b"],
    "captions": [b"one, {two|three {{x}}}, (four:1.2), [five]", b"1girl, long hair, blue eyes, rating:safe, ||| a"],
    "prompts": [_PROMPT],
    "config_file": [_CONFIG],
    "presets": [_json(_PRESET)],
    "requests": [b'{"request": "stop", "time": 1.5}\n{"event": "start", "time": 1, "script": "a", "pid": 1}\n'],
    "caption_files": ["猫, a".encode("cp932"), "a".encode("utf-16")],
    "prompts_json": [_json([{"prompt": "a", "width": 64, "seed": 3}, "b --w 64"])],
    "prompts_toml": [b'[prompt]\nwidth = 64\n[[prompt.subset]]\nprompt = "a"\n'],
    "dataset_config_toml": [_TOML],
    "dataset_config_json": [_json(_DATASET)],
    "rules": [_RULES],
    "metadata": [_json({"a": {"caption": "b", "tags": "c", "train_resolution": [64, 64], "image_size": [9, 9]}})],
    "metadata_lines": [_ROWS],
    "tag_csv": [b"tag_id,name,category,count\n1,a,0,2\n2,b,9,3\n"],
    "tag_json": [_json({"0": {"tag": "a", "category": "general"}})],
    "safetensors": [_safetensors()],
    "pickles": [_pickle()],
    "npz_head": [_npz(arr_0=np.zeros((4, 2, 2), np.float32), vae_hash=np.array("x"))],
    "npz": [_npz(arr_0=np.zeros((4, 2, 2), np.float32))],
}
WORDS = (
    b"{", b"}", b"[", b"]", b"[[", b"]]", b'"', b"'", b"=", b":", b",", b"\n", b"--", b"\\", b"(", b")", b":1.5)", b"|",
    b"{{", b"|||", b"null", b"true", b"nan", b"1e999", b"-1", b"0", b"9" * 30, b"9" * 5000, b"\0", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\\u0000", b"\\ud800", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"[" * 3000,
    b"__metadata__", b"{\"a\":" * 3000, b"%1", b"$(a)", b"`", b"^", b"1979-05-27", b"\x1b[2J", b"x" * 300,
)  # fmt: skip
"""Pieces that grammars know, and pieces that they stumble over."""
