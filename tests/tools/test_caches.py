"""The files of cache_latents.py and cache_text_encoder_outputs.py are those that a training finds and uses."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sd_scripts import sdxl_train, train_network
from sd_scripts.library.data.known_files import INDEX
from sd_scripts.library.errors import BadOption
from sd_scripts.library.models import sd, sdxl
from sd_scripts.options.cache_tools import CacheLatentsOptions, CacheTextsOptions
from sd_scripts.options.sdxl_train import SdxlTrainOptions
from sd_scripts.options.train_network import TrainNetworkOptions
from sd_scripts.tools import cache_latents, cache_text_encoder_outputs
from tests.tools.conftest import listed, picture, ran

LORA = {"network_module": "networks.lora", "network_train_unet_only": True, "network_dim": 1}


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures with captions in a folder named for training, and a broken one."""
    place = tmp_path / "img" / "1_thing"
    for stem, size in (("a", (80, 64)), ("b", (64, 64))):
        picture(place / f"{stem}.png", size)
        (place / f"{stem}.caption").write_text(f"a {stem}", encoding="utf-8")
    (place / "bad.png").write_text("no picture", encoding="utf-8")
    return tmp_path / "img"


def cached(model: Path, folder: Path, **flags: Any) -> tuple[Any, Any]:
    from accelerate.state import AcceleratorState

    common = {"pretrained_model_name_or_path": str(model), "train_data_dir": str(folder)}
    common |= {"max_data_loader_n_workers": 0}  # type: ignore[dict-item]
    sizes = {name: flags.pop(name) for name in ("flip_aug",) if name in flags}
    latents = ran(cache_latents.work, CacheLatentsOptions, **common, **flags, **sizes, resolution="64")
    AcceleratorState._reset_state(True)
    texts = ran(cache_text_encoder_outputs.work, CacheTextsOptions, **common, **flags)
    AcceleratorState._reset_state(True)
    return latents, texts


def trained(work: Any, options: type, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **flags: Any) -> Any:
    """A training of one step in which nothing may be encoded but the empty text."""

    def never(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("a picture was encoded")

    encode = {family: family.encode_text for family in (sd.StableDiffusion, sdxl.StableDiffusionXL)}
    counts: list[int] = []
    for family, own in encode.items():

        def counted(self: Any, tokens: Any, settings: Any, own: Any = own) -> Any:
            counts.append(1)
            return own(self, tokens, settings)

        monkeypatch.setattr(family, "encode_text", counted)
        monkeypatch.setattr(family, "encode_images", never)
    values = {
        "pretrained_model_name_or_path": str(model),
        "train_data_dir": str(folder),
        "output_dir": str(folder.parent / "out"),
        "resolution": "64",
        "max_train_steps": 1,
        "cache_latents_to_disk": True,
        "cache_text_encoder_outputs_to_disk": True,
        "max_data_loader_n_workers": 0,
        **flags,
    }
    report = ran(work, options, **values)
    assert len(counts) == 1
    assert "All latents are on disk already" in report.said
    assert "What the text encoders make of the captions is on disk already" in report.said
    return report


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_lora_training_uses_them_and_encodes_nothing(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    model = models / "sd1.safetensors"
    latents, texts = cached(model, folder, mixed_precision=precision, flip_aug=True)
    names = {"a_0080x0064_sd.npz", "b_0064x0064_sd.npz", "a_sd1_te_outputs.npz", "b_sd1_te_outputs.npz"}
    assert {name for name in listed(folder / "1_thing") if name.endswith(".npz")} == names
    assert latents.counts["made"] == texts.counts["made"] == 2
    assert "bad.png" in latents.said
    same = {"mixed_precision": precision, "flip_aug": True}
    trained(train_network.work, TrainNetworkOptions, model, folder, monkeypatch, **same, **LORA)


def test_an_sdxl_training_uses_them_and_a_second_run_keeps_them(
    models: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models / "sdxl.safetensors"
    cached(model, folder)
    before = {name: (folder / name).read_bytes() for name in listed(folder) if not name.endswith(INDEX)}
    latents, texts = cached(model, folder, sdxl=True)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert set(listed(folder)) - set(before) == {f"1_thing/{INDEX}"}
    assert latents.counts["kept"] == texts.counts["kept"] == 2 and latents.counts["made"] == texts.counts["made"] == 0
    assert (folder / "1_thing" / "a_0080x0064_sdxl.npz").is_file()
    in_json = tmp_path / "meta.json"
    in_json.write_text('{"a": {"caption": "a a"}, "b": {"caption": "a b"}}', encoding="utf-8")
    (folder / "1_thing" / "bad.png").unlink()
    trained(sdxl_train.work, SdxlTrainOptions, model, folder / "1_thing", monkeypatch, in_json=str(in_json))


def test_what_changed_is_made_again_and_what_is_trusted_is_kept(models: Path, folder: Path) -> None:
    model = models / "sd1.safetensors"
    cached(model, folder)
    (folder / "1_thing" / "a.caption").write_text("another", encoding="utf-8")
    picture(folder / "1_thing" / "a.png", (80, 64), seed=5)
    latents, texts = cached(model, folder, skip_cache_check=True)
    assert latents.counts["made"] == texts.counts["made"] == 0
    latents, texts = cached(model, folder)
    assert latents.counts["made"] == texts.counts["made"] == 1


def test_prepared_latents_do_not_disturb_the_texts(models: Path, folder: Path) -> None:
    cached(models / "sd2.safetensors", folder)
    shutil.copy2(folder / "1_thing" / "a.png", folder / "1_thing" / "c.png")
    _, texts = cached(models / "sd2.safetensors", folder, v2=True)
    assert "not used" not in texts.said and texts.counts["made"] == 1


def test_options_and_model_agree_before_work_starts(models: Path, folder: Path) -> None:
    common: dict[str, Any] = {"train_data_dir": str(folder), "resolution": "64"}
    sd1 = {"pretrained_model_name_or_path": str(models / "sd1.safetensors")}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "--pretrained_model_name_or_path is needed"),
        ({**sd1, "sdxl": True}, "is a Stable Diffusion 1 model: leave out --sdxl"),
        ({**sd1, "v2": True, "sdxl": True}, "exclude each other"),
        ({**sd1, "resolution": None}, "resolution is needed"),
    ]
    for flags, says in wrong:
        with pytest.raises(BadOption, match=says):
            ran(cache_latents.work, CacheLatentsOptions, **{**common, **flags})
    xl = {"pretrained_model_name_or_path": str(models / "sdxl.safetensors"), "train_data_dir": str(folder)}
    with pytest.raises(BadOption, match="--clip_skip has no place here"):
        ran(cache_text_encoder_outputs.work, CacheTextsOptions, **xl, clip_skip=2)
    with pytest.raises(BadOption, match="--fp8_base needs --mixed_precision"):
        ran(cache_text_encoder_outputs.work, CacheTextsOptions, **{**xl, "fp8_base": True})
    assert not list(folder.rglob("*.npz"))
