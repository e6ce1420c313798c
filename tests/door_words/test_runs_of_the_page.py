"""Real runs that the page starts, with texts that are commands, and secrets around them: what is left of both."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from kohya_gui.api import Studio
from kohya_gui.files import bare
from kohya_gui.importing.shells import split_commands
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import STAGES
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.options.spec import option_specs

REPO = Path(__file__).resolve().parents[2]
MARK = "SECRETMARK"
TOKEN = f"hf_{MARK}0123456789abcdefgh"
SECRETS = {"HF_TOKEN": TOKEN, "WANDB_API_KEY": f"{MARK}0123456789abcdef", "MY_PROXY_PASSWORD": f"pass{MARK}word",
           "HTTPS_PROXY": f"http://user:proxy{MARK}@127.0.0.1:9"}  # fmt: skip
EVIL = (
    "; touch CANARY", "$(touch CANARY)", "`touch CANARY`", "| touch CANARY", "&& touch CANARY", "\ntouch CANARY\n",
    "--module CANARY", '" ; touch CANARY "', "' ; touch CANARY '",
)  # fmt: skip
PATIENCE_S = 120


class Place:
    """A page's server in this process, the folder that holds all of it, and what its runs left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.studio = Studio(folder / "runs", [folder], REPO / "presets", REPO)
        self.store = RunStore(folder / "runs")
        self.commands: set[str] = set()

    def start(self, stage: str, **values: Any) -> str:
        """Starts a stage as the page does, and waits for its end; its id."""
        project = {"name": "p", "pictures": [str(self.folder / "pictures")], "work_dir": str(self.work)}
        answer = self.studio.call("start", {"stage": stage, "values": values, "project": project, "confirm": True})
        assert "run_id" in answer, answer
        deadline = time.monotonic() + PATIENCE_S
        while self.store.outcome(answer["run_id"]) is None:
            assert time.monotonic() < deadline
            self._look_at_processes()
            time.sleep(0.1)
        return str(answer["run_id"])

    def _look_at_processes(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            self.commands.update(process.info["cmdline"] or [])

    def holding(self, mark: str) -> list[str]:
        """The files that have a text within."""
        found = []
        for path in self.folder.rglob("*"):
            # The lock of the queue has a journal for moments.
            with suppress(FileNotFoundError):
                if path.is_file() and mark.encode() in path.read_bytes():
                    found.append(str(path.relative_to(self.folder)))
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("front")
    (folder / "pictures").mkdir()
    (folder / "work").mkdir()
    Image.effect_noise((64, 64), 60).convert("RGB").save(folder / "pictures" / "a.png")
    (folder / "pictures" / "b\x1b[2J\x07.png").write_text("no picture")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {**SECRETS, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(folder)}.items():
            patched.setenv(name, value)
        yield Place(folder)


def canaries(place: Place) -> list[Path]:
    return [path for path in place.folder.rglob("*CANARY*") if path.is_file() and path.stat().st_size == 0]


def test_cve_2024_32025_no_field_of_the_group_images_tool_runs_a_command(place: Place) -> None:
    pictures = str(place.folder / "pictures")
    for at, evil in enumerate(EVIL[:3]):
        out = f"{place.work}/out{at} {evil}"
        run_id = place.start(
            "group_images", input_folder=pictures, output_folder=out, max_resolution="64,64", min_bucket_reso=64
        )
        argv = place.store.record(run_id).argv
        assert [word for word in argv if "CANARY" in word] == [out]
        assert Path(out).is_dir() and not canaries(place)
    refused_or_one_word(place, "group_images", input_folder=pictures, output_folder=str(place.work / "x"))
    # The other picture's name would clear a terminal.
    log = place.store.log_path(run_id).read_bytes()
    assert b"\\x1b[2J" in log and not {0x1B, 0x07} & set(log)


def test_cve_2024_32026_no_field_of_the_git_captioning_runs_a_command(place: Place) -> None:
    """The run ends as there is no model in the folder, and nothing else has happened."""
    pictures, model = str(place.folder / "pictures"), f"{place.work}/m {EVIL[1]}"
    Path(model).mkdir()
    (Path(model) / "config.json").write_text("{}")
    run_id = place.start("caption_git", train_data_dir=pictures, model_id=model)
    assert [word for word in place.store.record(run_id).argv if "CANARY" in word] == [model]
    assert place.store.status(run_id).state == "failed" and not canaries(place)
    refused_or_one_word(place, "caption_git", train_data_dir=pictures)


def test_a_link_in_a_folder_of_pictures_tells_no_file_from_elsewhere(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret.txt"
    secret.write_text("TOPSECRET cat")
    pictures = place.folder / "from_archive"
    pictures.mkdir()
    for name in "ab":
        Image.new("RGB", (8, 8)).save(pictures / f"{name}.png")
    (pictures / "a.caption").symlink_to(secret)
    (pictures / "b.caption").write_text("a dog")
    out = place.work / "told.json"
    run_id = place.start(
        "merge_captions", train_data_dir=str(pictures), out_json=str(out), caption_extension=".caption"
    )
    assert "a dog" in out.read_text() and place.holding("TOPSECRET") == ["from_archive/a.caption"]
    log = place.store.log_path(run_id).read_text()
    assert "a.caption" in log and "it leads out of the folders that the page may reach (--root)" in log


def test_a_waiting_run_that_is_edited_gets_words_as_they_were_typed(place: Place) -> None:
    call, pictures = place.studio.call, str(place.folder / "pictures")
    given = {"input_folder": pictures, "output_folder": str(place.work / "y"), "max_resolution": "64,64"}
    given["min_bucket_reso"] = "64"
    call("queue_pause", {"paused": True})
    run_id = call("start", {"stage": "group_images", "values": given, "confirm": True})["run_id"]
    out = f"{place.work}/y {EVIL[0]}"
    answer = call("run_replace", {"id": run_id, "values": {**given, "output_folder": out}, "confirm": True})
    assert answer == {"run_id": run_id}
    assert [word for word in place.store.record(run_id).argv if "CANARY" in word] == [out]
    wrong = call("run_replace", {"id": run_id, "values": {**given, "--module": "evil"}, "confirm": True})
    assert any(one["level"] == "error" for one in wrong["findings"])
    call("run_request", {"id": run_id, "request": "cancel"})
    call("queue_pause", {"paused": False})


def test_a_preset_and_a_file_of_options_from_elsewhere_hide_nothing(place: Place) -> None:
    """Anybody may have written it: what is no option is named, secrets go, code and files of options are told."""
    folder = place.folder / "runs" / "presets" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    (place.work / "options.toml").write_text("[x]\noutput_dir = '/etc'\ndataset_class = 'evil.Data'\n")
    values = {"module": "evil", "--no_python": True, "huggingface_token": TOKEN, "output_name": EVIL[0],
              "optimizer_type": "decimal.Decimal", "dataset_class": "evil.Data",
              "config_file": str(place.work / "options.toml")}  # fmt: skip
    kept = {"version": 2, "stage": "train", "name": "gift", "description": "", "scope": "changed", "values": values}
    (folder / "gift.json").write_text(json.dumps(kept))
    (preset,) = (one for one in place.studio.call("presets", {"stage": "train"})["mine"] if one["name"] == "gift")
    assert set(preset["unknown"]) == {"module", "--no_python"} and "huggingface_token" not in preset["values"]
    answer = place.studio.call("start", {"stage": "train", "values": preset["values"], "confirm": []})
    levels = {one["field"]: one["level"] for one in answer["findings"]}
    assert levels["dataset_class"] == levels["config_file"] == "error" and levels["optimizer_type"] in (
        "error",
        "warning",
    )
    (folder / "gift.json").unlink()


def refused_or_one_word(place: Place, stage: str, **values: str) -> None:
    """Every text field with every command: an error stands beside it, or the command shown has it as one word."""
    for flag, spec in option_specs(STAGES[stage].options).items():
        for evil in EVIL if spec.kind == "str" and not spec.choices else ():
            answer = place.studio.call("check", {"stage": stage, "values": {**values, flag: evil}})
            if any(one["level"] == "error" and one["field"] == flag for one in answer["findings"]):
                continue
            (words,) = split_commands(answer["command"]["sh"], "sh")
            assert [word for word in words if word.endswith(bare(evil) if spec.path else evil)], (flag, evil)
            assert not {"touch", "CANARY", "--module"} & set(words)


def test_secrets_of_the_environment_reach_a_training_and_nothing_that_it_leaves(place: Place) -> None:
    make_sd1(place.folder / "base.safetensors")
    meta = place.work / "meta.json"
    meta.write_text(json.dumps({str(place.folder / "pictures" / "a.png"): {"caption": "a grey picture"}}))
    run_id = place.start(
        "train", pretrained_model_name_or_path=str(place.folder / "base.safetensors"), in_json=str(meta),
        train_data_dir=str(place.folder / "pictures"), output_dir=str(place.work / "out"), output_name="x",
        resolution="64", max_train_steps="1", log_with="tensorboard", logging_dir=str(place.work / "logs"),
        log_config=True, save_state=True, save_model_as="safetensors",
    )  # fmt: skip
    log = place.store.log_path(run_id).read_text()
    assert place.store.status(run_id).state == "done", log
    assert (place.work / "out" / "x.safetensors").is_file() and list((place.work / "logs").rglob("events.*"))
    assert os.environ["HF_TOKEN"] == TOKEN
    assert place.commands and not [word for word in place.commands if MARK in word]


def test_secrets_that_the_page_is_given_are_kept_nowhere(place: Place) -> None:
    studio, values = place.studio, {"huggingface_token": TOKEN, "wandb_api_key": SECRETS["WANDB_API_KEY"]}
    settings = {"LoRA_type": "Standard", "learning_rate": "1e-5", **values, "HF_TOKEN": TOKEN}
    words = " ".join(f"--{name} {value}" for name, value in values.items())
    texts = [
        json.dumps(settings),
        json.dumps({"version": 2, "stage": "train", "name": "n", "description": "", "scope": "all", "values": values}),
        f"HF_TOKEN={TOKEN} HUGGING_FACE_HUB_TOKEN={TOKEN} accelerate launch"
        f" --aws_secret_access_key {TOKEN} fine_tune.py {words}",
        f'wandb_api_key = "{TOKEN}"\n[hub]\nhuggingface_token = "{TOKEN}"\n',
        f"python fine_tune.py --hugingface_token {TOKEN}",
    ]
    answers = [studio.call("preset_import", {"stage": "train", "text": text}) for text in texts]
    assert all("report" in answer for answer in answers), answers
    given = {"stage": "train", "values": values}
    answers += [studio.call(name, given) for name in ("check", "start", "queue", "command_script")]
    answers.append(studio.call("preset_save", {**given, "name": "mine", "description": ""}))
    answers.append(studio.call("preset_export", {"stage": "train", "name": "mine"}))
    answers += [studio.call("presets", {"stage": "train"}), studio.call("runs", {}), studio.call("info", {})]
    answers += [studio.call("run", {"id": id}) for id in place.store.ids()]
    answers += [studio.call("run_log", {"id": id}) for id in place.store.ids()]
    assert MARK not in json.dumps(answers)


def test_no_file_of_the_page_its_runs_logs_states_or_models_has_a_secret(place: Place) -> None:
    """Last in this file: all that the tests before have left."""
    assert (place.work / "out" / "x-state").is_dir() and place.holding(MARK) == []
