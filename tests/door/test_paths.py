"""Paths that lead out of the roots, in every argument of every endpoint and every option of every form.

A new endpoint is attacked by what it declares. Where an argument is a path, it must say which in PATHS.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kohya_gui.api import Studio
from kohya_gui.checks import check
from kohya_gui.dataset import gate
from kohya_gui.dataset.gate import Gate
from kohya_gui.files import Roots, means_more_on_windows
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from kohya_gui.written import check_kind, is_text_ending
from sd_scripts.library.errors import BadOption
from sd_scripts.options.dataset_config import PATH_KEYS
from sd_scripts.options.spec import option_specs
from tests.door.arguments import everywhere, parameters, usual, with_text
from tests.gui_server.conftest import end_all
from tests.page import REPOSITORY

SECRET = "swordfish"

PATHS = {
    "browse": ["path"], "dataset_open": ["paths"], "preset_import_model": ["path"], "tensorboard": ["logdir"],
    "project_save": ["project"], "run_save_elsewhere": ["folder"],
}  # fmt: skip
"""Arguments that are paths, besides those of forms and projects; a path out of the roots is refused by name."""

NO_PATHS = {
    "action", "album", "all", "apply", "args", "backup", "before", "caption", "caption_extension", "change", "clean",
    "confirm", "description", "file_name", "first", "folder_index", "folders", "holding", "id", "ids", "is_new", "kind",
    "last", "limit", "log_offset", "mine", "name", "new_name", "note", "offset", "paused", "project", "prompts",
    "query", "recursive", "redo", "replaces", "request", "run", "shell", "since_event", "skip", "slot", "stage",
    "starred", "tagger", "tags_extension", "text", "theirs", "to", "train", "values", "view",
}  # fmt: skip
"""Names of all other arguments: ids that are looked up, words, numbers; `values` and `project` are attacked apart."""


@dataclass
class House:
    """A home that may be reached, and beside it what may not."""

    folder: Path
    studio: Studio

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def outside(self) -> Path:
        return self.folder / "home2"

    def ways_out(self) -> dict[str, str]:
        """{how: a path that must not be reached}."""
        out = str(self.outside)
        return {
            "straight": out,
            "up": f"{self.home}/pics/../../home2",
            "up from the working folder": "../home2",
            "doubled": f"{self.home}//..//.//home2/",
            "a name that begins alike": f"{self.home}2",
            "by a link to a folder": str(self.home / "link"),
            "through a link": str(self.home / "link" / "inner"),
            "by a link to a link": str(self.home / "chain"),
            "by a link to a file": str(self.home / "innocent.json"),
            "by a link without an end": str(self.home / "loop" / "x"),
            "another user's": "~root/x",
            "up from home": "~/../home2",
            "quoted": f'"{out}"',
            "with spaces": f"  {out}  ",
            "root": "/",
            "the system's": "/etc",
            "this process's": "/proc/self/cwd",
            "NUL": f"{self.home}/pics\0/../../home2",
            "too long": "a/" * 3000,
            "too long a name": "a" * 5000,
            "keys": str(self.home / ".ssh" / "id_rsa"),
            "hidden": "~/.bashrc",
            "a link to what is hidden": str(self.home / "keys"),
            "the queue": str(self.folder / "runs" / "queue.json"),
            "the runs": str(self.folder / "runs"),
        }

    def told(self) -> dict[str, tuple[int, bytes]]:
        """All that lies outside, as it is: what must not change."""
        places = [self.outside, self.home / ".ssh", self.home / ".bashrc"]
        files = [file for place in places for file in (place, *place.rglob("*"))]
        return {str(f): (f.lstat().st_mtime_ns, f.read_bytes() if f.is_file() else b"") for f in files}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    home, outside = folder / "home", folder / "home2"
    for place in (home / "pics", home / ".ssh", outside / "inner", folder / "runs"):
        place.mkdir(parents=True)
    for place in (home / "pics", outside, outside / "inner"):
        Image.new("RGB", (8, 8)).save(place / "p.png")
        (place / "p.txt").write_text(f"{SECRET}, b")
        (place / "m.json").write_text(f'{{"p": {{"caption": "{SECRET}"}}}}')
    for place in (home / ".ssh" / "id_rsa", home / ".bashrc"):
        place.write_text(SECRET)
    (home / "pics" / "p.txt").write_text("a, b")
    (home / "pics" / "m.json").write_text('{"p": {"caption": "a"}}')
    links = {"link": outside, "chain": home / "link", "innocent.json": outside / "m.json", "keys": home / ".ssh"}
    for name, target in {**links, "loop": home / "loop"}.items():
        (home / name).symlink_to(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield House(folder, Studio(folder / "runs", [home], REPOSITORY / "presets", REPOSITORY))
    end_all(folder / "runs")


@pytest.fixture(autouse=True)
def nothing_is_touched(house: House) -> Iterator[None]:
    before = house.told()
    yield
    assert house.told() == before


def test_every_argument_is_known_as_a_path_or_as_none() -> None:
    for endpoint in Studio.ENDPOINTS:
        for name in parameters(endpoint):
            assert (name in PATHS.get(endpoint, ())) or name in NO_PATHS, f"{endpoint} has {name}: is it a path?"


def test_no_way_out_in_any_argument_of_any_endpoint(house: House) -> None:
    """Whatever is asked with them, nothing from outside is told, and nothing is a mistake of ours."""
    tried = 0
    for way, path in house.ways_out().items():
        for endpoint, argument, value in everywhere(lambda kind, path=path: with_text(kind, path)):  # type: ignore[misc]
            answer = house.studio.call(endpoint, {**usual(endpoint, argument), argument: value})
            where = f"{endpoint} {argument} {way}"
            assert SECRET not in str(answer) and "root:x" not in str(answer), where
            assert "Error:" not in str(answer.get("error")), f"{where}: {answer}"
            tried += 1
    assert tried > 1500
    print(f"{tried} calls with ways out of the roots")


def test_a_path_that_leads_out_is_refused_by_name(house: House) -> None:
    for way, path in house.ways_out().items():
        for endpoint, arguments in PATHS.items():
            for argument in arguments:
                given: Any = path
                if argument == "paths":
                    given = [path]
                if argument == "project":
                    given = {"name": "x", "pictures": [path], "work_dir": path, "model": path.strip(' "') + "/m"}
                action = {"tensorboard": {"action": "start"}, "run_save_elsewhere": {"id": "x"}}.get(endpoint, {})
                answer = house.studio.call(endpoint, {argument: given, **action})
                told = [answer["error"]] if "error" in answer else list(answer.get("errors", {}).values())
                assert told and all(map(_is_refusal, told)), f"{endpoint} {way}: {answer}"
                assert argument != "project" or len(told) == 3


def _is_refusal(sentence: str) -> bool:
    return any(
        word in sentence for word in ("lies outside", "is hidden", "cannot be a path", "no program can be given")
    )


def test_no_way_out_in_any_option_of_any_form(house: House) -> None:
    tried = 0
    project = Project(work_dir=str(house.home))
    for stage in STAGES.values():
        paths = {flag: spec for flag, spec in option_specs(stage.options).items() if spec.path}
        for path in house.ways_out().values():
            values = {flag: [path.strip(' "')] if spec.many else path for flag, spec in paths.items()}
            # A file of datasets takes the place of others; what stands there without effect is not looked at.
            for chosen in (values, {flag: v for flag, v in values.items() if flag != "dataset_config"}):
                fields = check(stage, chosen, project, house.studio.roots).fields
                refused = {flag for flag, facts in fields.items() if _is_refusal(facts.get("error", ""))}
                unused = {flag for flag, facts in fields.items() if "Not needed" in facts.get("found", "")}
                assert chosen.keys() - unused <= refused, (stage.id, path, chosen.keys() - refused)
                tried += len(chosen)
    assert tried > 5000
    print(f"{tried} options with ways out of the roots")


def test_a_project_that_was_not_kept_brings_no_place_outside(house: House) -> None:
    """The page sends what stands in its form: work happens nowhere else for that."""
    out = {"name": "x", "pictures": [str(house.outside)], "work_dir": str(house.outside), "model": str(house.outside)}
    for endpoint in ("check", "start", "queue", "write_prompts", "command_script"):
        answer = house.studio.call(endpoint, {"stage": "train", "values": {}, "project": out})
        assert str(house.outside) not in str(answer), endpoint
    assert "error" in house.studio.call("pipeline", {"project": out, "confirm": True})
    assert str(house.outside) not in str(house.studio.call("all_stage_values", {"project": out}))


@pytest.mark.parametrize(
    ("stage", "flag", "name", "said"),
    [
        ("merge_captions", "out_json", "run.py", "no file such as"),
        ("merge_captions", "out_json", "package.json", "is no metadata"),
        ("train", "console_log_file", "start.sh", "no file such as"),
        ("train", "console_log_file", "Makefile", "no file such as"),
        ("convert_model", "model_to_save", "start.sh", "no file such as"),
        ("convert_model", "model_to_save", "Makefile", "no file such as"),
        ("caption_blip", "caption_extension", ".py", "no ending of texts"),
        ("caption_blip", "caption_extension", "/../../x.txt", "no ending of texts"),
        ("tag_wd14", "caption_extension", ".bashrc", "no ending of texts"),
        ("train", "output_name", ".ssh", "The output name"),
        ("train", "output_name", "nul", "The output name"),
        ("train", "output_name", "../../x", "name"),
    ],
)
def test_what_could_be_run_later_is_not_written(house: House, stage: str, flag: str, name: str, said: str) -> None:
    (house.home / "Makefile").write_text("all:")
    (house.home / "package.json").write_text('{"scripts": {"start": "x"}, "n": [1]}')
    value = str(house.home / name) if option_specs(STAGES[stage].options)[flag].path else name
    values = {flag: value, "train_data_dir": str(house.home / "pics"), "output_dir": str(house.home / "out")}
    known = {one: v for one, v in values.items() if one in option_specs(STAGES[stage].options)}
    checked = check(STAGES[stage], known, Project(work_dir=str(house.home)), house.studio.roots)
    told = [one.text for one in checked.findings if one.level == "error" and one.field == flag]
    assert told and said in told[0], checked.findings
    assert checked.blocks(True)


def test_what_they_are_for_is_written(house: House) -> None:
    for stage, flag, name in (
        ("merge_captions", "out_json", "meta.json"),
        ("merge_captions", "out_json", "pics/m.json"),
        ("train", "console_log_file", "train.log"),
        ("convert_model", "model_to_save", "m.safetensors"),
        ("convert_model", "model_to_save", "a folder v1.5"),
    ):
        check_kind(option_specs(STAGES[stage].options)[flag], house.home / name)
    assert all(map(is_text_ending, (".txt", "caption", ".CAPTION", ".en.txt")))
    assert not any(map(is_text_ending, (".txt/../x", "", ".", ".txt\n", ".png", ".py", "txt.sh")))


def test_texts_are_edited_beside_pictures_only(house: House) -> None:
    for ending in (".py", ".sh", ".bashrc", "/../../home2/p.txt", ".json", ".toml", ".txt\0"):
        answer = house.studio.call("dataset_open", {"paths": [str(house.home / "pics")], "caption_extension": ending})
        assert "error" in answer, ending


@pytest.mark.parametrize("key", PATH_KEYS)
def test_a_file_of_datasets_names_no_place_outside(house: House, key: str) -> None:
    file = house.home / "datasets.toml"
    for path in (str(house.outside), "../home2", str(house.home / "link"), str(house.home / ".ssh"), "/etc"):
        named = {"image_dir": str(house.home / "pics"), key: path}
        lines = "".join(f"{name} = '{value}'\n" for name, value in named.items())
        file.write_text(f"[[datasets]]\nresolution = 64\n[[datasets.subsets]]\n{lines}")
        values = {"dataset_config": str(file), "masked_loss": True}
        checked = check(STAGES["train"], values, Project(work_dir=str(house.home)), house.studio.roots)
        told = [one.text for one in checked.findings if one.field == "dataset_config" and one.level == "error"]
        assert told and _is_refusal(told[0]), (path, checked.findings)
        assert SECRET not in str(checked.findings)


def test_a_folder_that_becomes_a_link_is_a_folder_no_longer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking and writing lies a moment at most; to have none, systems would have to offer it."""
    monkeypatch.setattr(gate, "REMEMBERED_S", 0.0)
    place = house.home / "swapped"
    shutil.copytree(house.home / "pics", place)
    lets = Gate(house.studio.roots).lets
    assert lets(str(place / "p.txt"))
    shutil.rmtree(place)
    os.symlink(house.outside, place)
    assert not lets(str(place / "p.txt"))
    assert gate.REMEMBERED_S <= 1.0
    place.unlink()


def test_models_that_were_downloaded_are_reached_though_they_are_hidden(house: House) -> None:
    hub = house.home / ".cache" / "huggingface" / "hub"
    roots = house.studio.roots
    assert roots.inside(str(hub / "models--x" / "snapshots" / "1" / "m.safetensors"), "x").is_relative_to(hub)
    for path in (hub.parent / "token", hub / ".git" / "config", house.home / ".cache" / "x"):
        with pytest.raises(BadOption, match="is hidden"):
            roots.inside(str(path), "x")
    named = Roots([house.home / ".ssh"])
    assert named.inside(str(house.home / ".ssh" / "id_rsa"), "x"), "where a root names it, it is meant"


def test_of_the_programs_own_folder_the_example_alone_is_reached(house: House) -> None:
    runs = house.folder / "runs"
    roots = Roots([house.folder], runs, runs / "example")
    assert roots.inside(str(runs / "example" / "m.safetensors"), "x")
    for path in (runs, runs / "queue.json", runs / "x" / "run.json", runs / "example" / ".." / "presets" / "a.json"):
        with pytest.raises(BadOption, match="lies outside"):
            roots.inside(str(path), "x")


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("con", True), ("NUL.txt", True), ("a/aux.png", True), ("COM1", True), ("lpt9.json", True), ("com¹", True),
        ("CONIN$", True), ("a.txt:stream", True), ("a.png::$DATA", True), ("\\\\far\\share\\a", True),
        ("//far/share/a", True), ("\\\\?\\C:\\a", True), ("\\\\.\\pipe\\x", True), ("a. ", True), ("a./b", True),
        ("C:\\Users\\a\\p.png", False), ("a/b.txt", False), ("console", False), ("..\\a", False), ("com10", False),
        ("D:", False), ("my.model.v1", False),
    ],
)  # fmt: skip
def test_what_windows_takes_for_something_else(path: str, odd: bool) -> None:
    assert means_more_on_windows(path) == odd
