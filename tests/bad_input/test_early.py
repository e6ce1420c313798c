"""What is refused before a model is loaded: by names, by headers, by numbers."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sd_scripts.library.data.buckets import BucketRules, checked_rules, parse_resolution, rules_within
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import open_checkpoint
from sd_scripts.library.io.fitting import check_embedding_file, check_network_file
from sd_scripts.library.io.headers import model_facts, pickled_object, safetensors_header
from sd_scripts.library.io.reading import read_whole
from sd_scripts.library.networks.stored import StoredNetwork
from sd_scripts.library.train.checks.output import check_plain
from sd_scripts.library.train.prompts import read_prompts
from sd_scripts.options.latents import BucketOptions

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["CON", "con.v1", "Nul", "lpt1", "COM9.x", "ends.", "ends "])
def test_names_that_windows_takes_for_devices(name: str) -> None:
    with pytest.raises(BadOption, match="Windows takes no such name"):
        check_plain("output_name", name)


def test_names_that_only_look_so() -> None:
    for name in ("CONSOLE", "my-con", "com10", "v1.0", None):
        check_plain("output_name", name)


def test_buckets_of_which_one_would_be_left() -> None:
    with pytest.raises(BadOption, match="there would be one square bucket of 128 px") as caught:
        checked_rules(BucketRules((128, 128)), "resolution")
    assert caught.value.option == "min_bucket_reso" and "leave out --enable_bucket" in str(caught.value)
    with pytest.raises(BadOption, match="Use 64 or less.$"):
        # A stage that sorts into buckets always.
        rules_within("64", BucketOptions())
    checked_rules(BucketRules((256, 256)), "resolution")


def test_sizes_without_measure() -> None:
    for text in ("9" * 5000, "0", "٣", "-1", ""):
        with pytest.raises(BadOption, match="is no size"):
            parse_resolution(text, "resolution")


def network(width: int, up: tuple[int, ...] = (8, 2)) -> dict[str, np.ndarray]:
    key = "lora_unet_a_attn2_to_k"
    shapes = {f"{key}.lora_down.weight": (2, width), f"{key}.lora_up.weight": up, f"{key}.alpha": ()}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def test_networks_and_words_for_another_kind_of_model(tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    save_file({"model.diffusion_model.a.attn2.to_k.weight": np.zeros((8, 768), np.float32)}, base)
    for width, fits in ((768, True), (1024, False), (2048, False)):
        save_file(network(width), tmp_path / "a.safetensors")
        save_file({"emb_params": np.zeros((1, width), np.float32)}, tmp_path / "word.safetensors")
        for check, name in ((check_network_file, "a.safetensors"), (check_embedding_file, "word.safetensors")):
            check(tmp_path / name, None)
            check(tmp_path / name, "somebody/hub")
            if fits:
                check(tmp_path / name, str(base))
            else:
                with pytest.raises(BadFile, match="is for another kind of model"):
                    check(tmp_path / name, str(base))


def test_networks_whose_matrices_do_not_fit(tmp_path: Path) -> None:
    save_file(network(768, up=(8, 3)), tmp_path / "a.safetensors")
    with pytest.raises(BadFile, match="do not fit each other"):
        check_network_file(tmp_path / "a.safetensors", None)


def zipped(path: Path, data: bytes, how: int) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", data)
    return path


@pytest.mark.parametrize("ending", [".pt", ".ckpt", ".bin"])
def test_archives_that_would_fill_the_memory(tmp_path: Path, ending: str) -> None:
    bomb = zipped(tmp_path / f"bomb{ending}", b"\x8e" + bytes(50_000_000), zipfile.ZIP_DEFLATED)
    for look in (pickled_object, open_checkpoint):
        with pytest.raises(BadFile, match="is no checkpoint") as caught:
            look(bomb)
        assert "unpack to 50,000,001" in str(caught.value.__cause__)


def test_archives_whose_names_are_damaged(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.pt", b"", zipfile.ZIP_STORED).read_bytes()
    damaged = tmp_path / "damaged.pt"
    # The directory at the end says that the name is UTF-8, and the name is not.
    place = whole.rindex(b"PK\x01\x02")
    directory = bytearray(whole[place:].replace(b"archive", b"\xff\xfe\xff\xfe\xff\xfe\xff"))
    directory[9] |= 0x08
    damaged.write_bytes(whole[:place] + directory)
    for look in (pickled_object, open_checkpoint):
        with pytest.raises(BadFile, match="is no checkpoint"):
            look(damaged)


@pytest.mark.parametrize("offsets", ["x", "ab", [8], [], None, {"1": 8}, [0, "8"], [0, None], [0, 2**62]])
def test_places_in_a_file_that_are_none(tmp_path: Path, offsets: object) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    for look in (safetensors_header, open_checkpoint):
        with pytest.raises(BadFile, match="incomplete"):
            look(path)


def header_of(path: Path, text: str) -> Path:
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(8))
    return path


TENSOR = '"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        '{"__metadata__": ' + '{"a": ' * 100_000,
        '{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": [2.5], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": "12", "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": [' + "9999999999999999999," * 99 + '2], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": [], "shape": [2], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": null, "shape": [2], "data_offsets": [0, 8]}}',
        '{"__metadata__": [1], ' + TENSOR + "}",
        '{"__metadata__": "text", ' + TENSOR + "}",
        '{"__metadata__": {"modelspec.prediction_type": [1]}, ' + TENSOR + "}",
        '{"__metadata__": {"ss_steps": 5}, ' + TENSOR + "}",
    ],
    ids=lambda header: header[:60],
)
def test_headers_that_say_something_else(tmp_path: Path, header: str) -> None:
    path = header_of(tmp_path / "odd.safetensors", header)
    for look in (safetensors_header, model_facts, open_checkpoint):
        with pytest.raises(BadFile, match="incomplete"):
            look(path)


def test_a_header_may_say_that_it_says_nothing(tmp_path: Path) -> None:
    path = header_of(tmp_path / "plain.safetensors", '{"__metadata__": null, ' + TENSOR + "}")
    assert safetensors_header(path) == ({"a": ("F32", (2,))}, {})
    assert model_facts(path).kind == "unknown" and open_checkpoint(path).metadata == {}


@pytest.mark.parametrize("odd", [[1], {"a": 1}, 5, None, "x", [[[]]]])
def test_folders_of_models_that_say_something_else(tmp_path: Path, odd: object) -> None:
    files = {
        "model_index.json": "_class_name",
        "scheduler/scheduler_config.json": "prediction_type",
        "text_encoder/config.json": "num_hidden_layers",
        "unet/config.json": "use_linear_projection",
    }
    for name, key in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({key: odd}))
    facts = model_facts(tmp_path)
    assert facts.prediction_type is None and facts.text_layers == (5 if odd == 5 else None)


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
NESTED = [
    # A key of tuples in tuples, which takes all stack, and one of twice the same in each, which takes all time.
    b"\x80\x02})" + b"\x85" * 2_000_000 + b"K\x01s.",
    b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s.",
    # Shapes of texts, and of a list.
    b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00X\x01\x00\x00\x00x)tRs.",
    b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(]K\x00K\x02\x85)tRs.",
]


@pytest.mark.parametrize("data", NESTED, ids=["deep", "often", "shape", "format"])
def test_pickles_that_would_take_all_stack_or_all_time(tmp_path: Path, data: bytes) -> None:
    """Looked at by a process of its own: the stack that is full ends it without an error."""
    path = zipped(tmp_path / "odd.ckpt", data, zipfile.ZIP_STORED)
    code = "import sys; from sd_scripts.library.io.headers import model_facts; model_facts(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert f"BadFile: {path} is no checkpoint" in ended.stderr, (ended.returncode, ended.stderr)
    with pytest.raises(BadFile, match="is no checkpoint"):
        open_checkpoint(path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no such device")
def test_a_device_is_no_checkpoint(tmp_path: Path) -> None:
    link = tmp_path / "network.pt"
    link.symlink_to("/dev/zero")
    for look in (pickled_object, open_checkpoint):
        with pytest.raises(BadFile, match="there is no such file"):
            look(link)


def test_prompts_with_values_outside_of_their_table(tmp_path: Path) -> None:
    file = tmp_path / "prompts.toml"
    file.write_text('width = 64\n[[prompt.subset]]\nprompt = "a cat"\n')
    with pytest.raises(BadOption, match=r"width stands outside of \[prompt\]"):
        read_prompts(str(file))


def test_networks_that_are_no_numbers(tmp_path: Path) -> None:
    tensors = network(768)
    tensors["lora_unet_a_attn2_to_k.lora_up.weight"][0, 0] = np.nan
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(BadFile, match="a.safetensors is damaged: .*lora_up.weight holds NaN"):
        StoredNetwork(tmp_path / "a.safetensors").lora("lora_unet_a_attn2_to_k")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for look in (safetensors_header, open_checkpoint):
        with pytest.raises(BadFile, match="there is no such file"):
            look(tmp_path / "pipe.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "giant.txt").touch()
    os.truncate(tmp_path / "giant.txt", 10**11)
    for name, why in (("pipe.txt", "no ordinary file"), ("giant.txt", "100,000.0 MB, and 50.0 MB are the most")):
        with pytest.raises(OSError, match=why):
            read_whole(tmp_path / name)
