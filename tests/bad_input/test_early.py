"""What is refused before a model is loaded: by names, by headers, by numbers."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sd_scripts.library.data.buckets import BucketRules, checked_rules, parse_resolution, rules_within
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import open_checkpoint
from sd_scripts.library.io.fitting import check_embedding_file, check_network_file
from sd_scripts.library.io.headers import pickled_object, safetensors_header
from sd_scripts.library.io.reading import read_whole
from sd_scripts.library.networks.stored import StoredNetwork
from sd_scripts.library.train.checks.output import check_plain
from sd_scripts.library.train.prompts import read_prompts
from sd_scripts.options.latents import BucketOptions


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
