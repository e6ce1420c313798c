"""What a saved file's header tells: of the model (model-spec) and of its training (ss_*)."""

import base64
import hashlib
import json
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from sd_scripts.library.data.dataset_facts import LISTED_TAGS, tag_frequency
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.about import check_about, data_url, model_spec, unwritten
from sd_scripts.options.output import LARGEST_THUMBNAIL_BYTES, AboutOptions
from sd_scripts.options.spec import option_specs
from tests.bad_input.broken import png_of_zeros
from tests.data.bad_pictures import BROKEN, ODD
from tests.train.tiny import TEXTS, options, train

ROOT = Path(__file__).parents[2]


def header_of(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_everything_that_is_given_stands_in_the_header(tmp_path):
    picture = tmp_path / "small.png"
    Image.new("RGB", (4, 4), "red").save(picture)
    given = {name: f"my {name}" for name in option_specs(AboutOptions)} | {"metadata_thumbnail": str(picture)}
    train(tmp_path, max_train_steps=1, clip_skip=2, **given)
    header = header_of(tmp_path / "out" / "X.safetensors")
    for name in given.keys() - {"metadata_thumbnail"}:
        assert header[f"modelspec.{name.removeprefix('metadata_')}"] == f"my {name}"
    thumbnail = header["modelspec.thumbnail"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(thumbnail) == picture.read_bytes()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    expected = {
        "sai_model_spec": "1.0.1",
        "architecture": "stable-diffusion-v1",
        "implementation": "https://github.com/Stability-AI/generative-models",
        "implementation_version": f"sd-trainer/{version}",
        "resolution": "64x64",
        "prediction_type": "epsilon",
        "encoder_layer": "2",
    }
    assert {name: header[f"modelspec.{name}"] for name in expected} == expected


def test_without_options_the_title_is_the_file_and_the_rest_is_absent(tmp_path):
    train(tmp_path, max_train_steps=2, save_every_n_steps=1)
    header = header_of(tmp_path / "out" / "X-step00000001.safetensors")
    assert header["modelspec.title"] == "X-step00000001"
    absent = [f"modelspec.{name.removeprefix('metadata_')}" for name in option_specs(AboutOptions)]
    assert not set(absent) - {"modelspec.title"} & set(header)
    assert not {"modelspec.encoder_layer", "modelspec.timestep_range"} & set(header)


def test_where_it_comes_from(tmp_path):
    base, vae = tmp_path / "base.safetensors", tmp_path / "vae.pt"
    base.write_bytes(b"0" * 0x100000 + b"1" * 0x20000)
    vae.write_bytes(b"short")
    train(tmp_path, max_train_steps=1, pretrained_model_name_or_path=str(base), vae=str(vae), dataset_repeats=3)
    header = header_of(tmp_path / "out" / "X.safetensors")
    assert header["ss_base_model_version"] == "sd_v1"
    assert header["ss_sd_model_name"] == "base.safetensors" and header["ss_vae_name"] == "vae.pt"
    assert header["ss_new_sd_model_hash"] == hashlib.sha256(base.read_bytes()).hexdigest()
    assert header["ss_sd_model_hash"] == hashlib.sha256(b"1" * 0x10000).hexdigest()[:8]
    assert header["ss_new_vae_hash"] == hashlib.sha256(b"short").hexdigest()
    assert header["ss_vae_hash"] == hashlib.sha256(b"").hexdigest()[:8]
    assert json.loads(header["ss_dataset_dirs"]) == {"meta_lat.json": {"n_repeats": 3, "img_count": 4}}
    assert json.loads(header["ss_tag_frequency"]) == {"meta_lat.json": tag_frequency(TEXTS[:4])}
    assert 0 <= int(header["ss_session_id"]) < 2**32
    assert not any(str(tmp_path) in value for value in header.values())


def test_two_runs_are_two_sessions(tmp_path):
    sessions = set()
    for name in "ab":
        train(tmp_path, max_train_steps=1, output_name=name)
        sessions.add(header_of(tmp_path / "out" / f"{name}.safetensors")["ss_session_id"])
    assert len(sessions) == 2


def test_tags_are_counted_by_picture():
    assert tag_frequency(["a Cat, sitting,, ", "dog, a cat", ""]) == {"a cat": 2, "sitting": 1, "dog": 1}
    many = tag_frequency([", ".join(str(number) for number in range(LISTED_TAGS + 5)), "7"])
    assert len(many) == LISTED_TAGS and next(iter(many.items())) == ("7", 2)


def test_a_data_url_stays_and_a_file_becomes_one(tmp_path):
    url = "data:image/jpeg;base64,AAAA"
    assert data_url(url) == url
    (tmp_path / "a.webp").write_bytes(ODD["animated.webp"]())
    begins, _, data = data_url(str(tmp_path / "a.webp")).partition(",")
    assert begins == "data:image/webp;base64"
    assert base64.b64decode(data) == (tmp_path / "a.webp").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.png", None, "cannot be read: No such file or directory"),
        ("notes.txt", b"words", "cannot be used: .*. Name a .png, .jpg or .webp file."),
        ("large.png", b"0" * (LARGEST_THUMBNAIL_BYTES + 1), "has 1.0 MB. Every saved file holds it: make it smaller"),
        ("cut.png", BROKEN["truncated.png"](), "cannot be used: .*. Name a .png, .jpg or .webp file."),
        ("large area.png", png_of_zeros(12_000, 12_000), "has 12000 x 12000 px. 256 x 256 are usual."),
        ("bomb.png", png_of_zeros(20_000, 20_000), "it has 20000 x 20000 px, more than"),
        ("data:text/plain,words", None, "is no picture"),
        ("data:image/png;base64," + "A" * LARGEST_THUMBNAIL_BYTES, None, "data:image/png;base6... has 1.0 MB"),
    ],
)
def test_thumbnails_that_are_none(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    thumbnail = name if name.startswith("data:") else str(tmp_path / name)
    with pytest.raises(BadOption, match=sentence) as caught:
        check_about(AboutOptions(metadata_thumbnail=thumbnail))
    assert caught.value.option == "metadata_thumbnail"


def test_formats_without_a_header_are_told():
    assert unwritten(AboutOptions(), "ckpt") == []
    about = AboutOptions(metadata_title="a", metadata_author="b")
    assert unwritten(about, "safetensors") == []
    for format in ("ckpt", "diffusers", "diffusers_safetensors"):
        assert "Not written: --metadata_title, --metadata_author." in unwritten(about, format)[0]


def test_timesteps_are_told_where_they_are_cut(tmp_path):
    told = options(tmp_path)
    assert "modelspec.timestep_range" not in model_spec(told)
    if "min_timestep" in option_specs(type(told)):
        assert model_spec(options(tmp_path, min_timestep=100))["modelspec.timestep_range"] == "100,1000"
        assert model_spec(options(tmp_path, max_timestep=900))["modelspec.timestep_range"] == "0,900"
