"""What no script can work with: one sentence, the right exit code, nothing written; mostly before torch is imported."""

import json
from pathlib import Path

import pytest

from tests.bad_input.runs import contents, run
from tests.data.bad_pictures import write_named

LONG = "x" * 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures with texts, and things that are not what a script asks for."""
    write_named(tmp_path / "pics", ("a.png", "b.png"))
    (tmp_path / "pics" / "a.caption").write_text("a cat")
    (tmp_path / "pics" / "a.txt").write_text("cat")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "in.json").write_text('{"a": {"tags": "x", "caption": "a woman"}}')
    (tmp_path / "other.json").write_text('{"z": {"tags": "x"}}')
    (tmp_path / "broken.json").write_text('{"a": ')
    (tmp_path / "deep.json").write_text('{"a": ' + "[" * 200_000)
    (tmp_path / "rows.jsonl").write_text('{"image_path": "a", "caption": "x"}\n{"caption": "y"}\n')
    (tmp_path / "no.toml").write_text("tags = 3")
    (tmp_path / "no.safetensors").write_text("this is no model")
    return tmp_path


MERGE = ("finetune/merge_captions_to_metadata.py", "finetune/merge_dd_tags_to_metadata.py")
CLEAN = "finetune/clean_captions_and_tags.py"
BLIP, GIT = "finetune/make_captions.py", "finetune/make_captions_by_git.py"
WD14, DANBOORU = "finetune/tag_images_by_wd14_tagger.py", "finetune/tag_images_by_deepdanbooru.py"
PREPARE, TRAIN = "finetune/prepare_buckets_latents.py", "fine_tune.py"
BASE = ("--pretrained_model_name_or_path=no.safetensors", "--in_json=in.json", "--train_data_dir=pics")
GIVEN = (*BASE, "--output_dir=out", "--resolution=64")

CASES: list[tuple[str, tuple[str, ...], str]] = [
    *((script, ("nowhere", "o.json"), "there is no folder of that name") for script in MERGE),
    *((script, ("empty", "o.json"), "no pictures here. Pictures end in .png") for script in MERGE),
    *((script, ("pics", "pics/a.png"), "out_json pics/a.png: the name must end in .json") for script in MERGE),
    *((script, ("pics", "file/o.json"), "Cannot write file/o.json: ") for script in MERGE),
    *((script, ("pics", f"{LONG}.json"), "File name too long") for script in MERGE),
    (MERGE[0], ("pics", "broken.json"), "broken.json is broken JSON at line 1"),
    (MERGE[1], (LONG, "o.json"), "File name too long"),
    (CLEAN, ("nowhere.json", "o.json"), 'in_json "nowhere.json": there is no such file'),
    (CLEAN, ("empty", "o.json"), 'in_json "empty": this is a folder'),
    (CLEAN, ("deep.json", "o.json"), "deep.json is nested too deeply"),
    (CLEAN, ("rows.jsonl", "o.json"), 'line 2 of rows.jsonl is no JSON object with an "image_path"'),
    (CLEAN, ("in.json", "pics/a.png"), "the name must end in .json, such as pics/a.json"),
    (CLEAN, ("in.json", "empty"), "out_json empty is a folder"),
    (CLEAN, ("in.json", "file/o.json"), "Cannot write file/o.json: "),
    (CLEAN, ("in.json", "o.json", "--rules=no.toml"), "no.toml is no file of cleaning rules"),
    *((script, ("empty",), "no pictures here") for script in (BLIP, GIT, WD14)),
    *((script, ("file",), "there is a file, not a folder of that name") for script in (BLIP, GIT, WD14)),
    *((script, (LONG,), "File name too long") for script in (BLIP, GIT, WD14)),
    (BLIP, ("pics", "--caption_weights=empty"), "--caption_weights empty: no model in it"),
    (GIT, ("pics", "--model_id=file"), "--model_id file: there is no such folder"),
    (WD14, ("pics", "--repo_id=empty"), "empty holds no tagger"),
    (WD14, ("pics", "--output_path=file/tags.json"), "file cannot be written to"),
    (WD14, ("pics", "--output_path=folder.json"), "--output_path folder.json is a folder"),
    (DANBOORU, ("pics", "--project_path=empty"), "empty is no DeepDanbooru project"),
    (DANBOORU, ("pics", "--project_path=nowhere"), "--project_path nowhere: there is no such folder"),
    (DANBOORU, ("pics", "--threshold=nan", "--project_path=empty"), '--threshold nan: "nan" is not a number'),
    (PREPARE, ("pics", "in.json", "pics/b.png", "no.safetensors"), "out_json pics/b.png: the name must end in .json"),
    (
        PREPARE,
        ("pics", "other.json", "o.json", "no.safetensors"),
        "Name the metadata file that was made of this folder",
    ),
    (PREPARE, ("pics", "in.json", "o.json", "nowhere.ckpt"), "nowhere.ckpt: there is no such file or folder"),
    (PREPARE, ("pics", "in.json", "o.json", ""), '"": there is no such file or folder'),
    (PREPARE, ("pics", "in.json", "o.json", "m.ckpt", "--max_resolution=0,0"), '--max_resolution "0,0" is no size'),
    (TRAIN, ("--in_json=in.json",), "--pretrained_model_name_or_path is needed"),
    (TRAIN, (*GIVEN, "--pretrained_model_name_or_path=nowhere.ckpt"), "nowhere.ckpt: there is no such file or folder"),
    (TRAIN, (*GIVEN, "--vae=nowhere.safetensors"), "nowhere.safetensors: there is no such file or folder"),
    (TRAIN, (*GIVEN, "--in_json=broken.json"), "broken.json is broken JSON"),
    (TRAIN, (*GIVEN, "--resolution=abc"), '--resolution "abc" is no size'),
    (TRAIN, (*GIVEN, "--output_dir=file/out"), "--output_dir file/out cannot be written to"),
    (TRAIN, (*GIVEN, f"--output_name={LONG}"), "is too long for a file"),
    (TRAIN, (*GIVEN, "--output_name=../x"), "must be a plain name"),
    (TRAIN, (*GIVEN, "--resume=pics"), "--resume pics: there is no state"),
    (TRAIN, (*GIVEN, "--learning_rate=nan"), '--learning_rate nan: "nan" is not a number'),
    (TRAIN, (*GIVEN, "--max_train_steps=1e3"), "--max_train_steps 1e3: Write 1000."),
    # What would be replaced by the trained model, and is not ours to replace.
    (TRAIN, (*GIVEN, "--output_dir=.", "--output_name=no"), "no.safetensors is what this training reads"),
    (TRAIN, (*GIVEN, "--output_dir=.", "--output_name=pics", "--save_model_as=diffusers"), "with other things in it"),
]


def test_they_are_refused_before_torch_is_imported(folder: Path) -> None:
    """In one go: each process is short, and all of them leave the folder as it was."""
    before = contents(folder)
    for script, argv, sentence in CASES:
        done = run(script, *argv, cwd=folder, watch_imports=True)
        case = (script, [word[:40] for word in argv], done.said)
        assert done.code == 2, case
        assert done.last.startswith("Error: ") and sentence in done.last, case
        assert "Traceback" not in done.said, case
        assert done.events[-1]["event"] == "failed" and f"Error: {done.events[-1]['sentence']}" == done.last, case
        assert "torch" not in done.imported.split(), case
    after = contents(folder)
    assert after == before
    assert not [name for name in after if ".part" in name]


def broken_models(folder: Path, sd1: Path) -> dict[str, str]:
    """{file: what is said of it as a base model}."""
    import pickle

    import torch
    from safetensors.torch import save_file

    class Evil:
        def __reduce__(self):
            return exec, (f"open({str(folder / 'ran')!r}, 'w')",)

    (folder / "cut.safetensors").write_bytes(sd1.read_bytes()[:3_000_000])
    (folder / "evil.ckpt").write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": Evil()}}, folder / "evil2.ckpt")
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(4, 4)}, folder / "lora.safetensors")
    return {
        "no.safetensors": "is no .safetensors file, or it is incomplete",
        "cut.safetensors": "is no .safetensors file, or it is incomplete",
        "evil.ckpt": "is no checkpoint, or it is incomplete",
        "evil2.ckpt": "holds no tensors, so it is no model and no network",
        "lora.safetensors": "is a LoRA, not a whole model",
        "empty": "is no diffusers model",
    }


def test_models_that_are_none(folder: Path, models: Path) -> None:
    """Through the scripts' own ways of opening them, in one process: torch takes seconds to import."""
    import io

    from sd_scripts.library.errors import BadFile
    from sd_scripts.library.models.sd import load
    from sd_scripts.library.models.vae import load_vae
    from sd_scripts.library.report import Report

    named = broken_models(folder, models / "sd1.safetensors")
    for name, sentence in named.items():
        with pytest.raises(BadFile, match=sentence):
            load(str(folder / name), report=Report(out=io.StringIO()))
        with pytest.raises(BadFile):
            load_vae(str(folder / name))
        with pytest.raises(BadFile):
            load(str(models / "sd1.safetensors"), vae=str(folder / name), report=Report(out=io.StringIO()))
    assert not (folder / "ran").exists()
    done = run(TRAIN, *GIVEN, cwd=folder)
    assert done.code == 2 and "no.safetensors is no .safetensors file" in done.last, done.said
    assert list((folder / "out").iterdir()) == []


STUBS = {
    "a VAE of one tensor": {"decoder.conv_in.weight": (4, 4, 3, 3)},
    "a VAE of a flat tensor": {"decoder.conv_in.weight": (4,)},
    "diffusers' names": {"decoder.conv_in.weight": (4,), "encoder.down_blocks.0.resnets.0.conv1.weight": (3,)},
}


@pytest.mark.parametrize("what", STUBS)
def test_a_vae_that_is_nearly_none(what: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from sd_scripts.library.errors import BadFile
    from sd_scripts.library.models.vae import load_vae

    save_file({name: torch.zeros(shape) for name, shape in STUBS[what].items()}, tmp_path / "vae.safetensors")
    with pytest.raises(BadFile, match="is incomplete: it lacks layers"):
        load_vae(str(tmp_path / "vae.safetensors"))


def test_configurations_that_make_no_model(models: Path, tmp_path: Path) -> None:
    from sd_scripts.library.errors import BadFile
    from sd_scripts.library.example.sd_models import make_diffusers
    from sd_scripts.library.models.sd import load

    folder = make_diffusers(tmp_path / "model")
    for part, config, sentence in (
        ("vae", {"latent_channels": 4, "block_out_channels": 3}, "has a configuration that makes no model"),
        ("unet", {}, "takes None channels"),
        ("unet", {"in_channels": 4, "block_out_channels": "x"}, "has a configuration that makes no model"),
    ):
        file = folder / part / "config.json"
        whole = file.read_bytes()
        file.write_text(json.dumps(config))
        with pytest.raises(BadFile, match=sentence):
            load(str(folder))
        file.write_bytes(whole)
    for file in (folder / "tokenizer").iterdir():
        file.write_text("{")
    with pytest.raises(BadFile, match="is no tokenizer that can be opened"):
        load(str(folder))
