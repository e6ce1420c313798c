"""Every parser that reads what others wrote, as a function of bytes: it gives a value or says what is wrong.

A target raises only what is a fault: an error that is no sentence for users, or a value that does not survive being
written and read again. tests/fuzz/test_parsers.py and benchmarks/fuzz.py throw bytes at them.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kohya_gui.importing.metadata import read_metadata as read_header
from kohya_gui.importing.reading import read_settings
from kohya_gui.importing.shells import shell_of, split_commands
from kohya_gui.presets import as_saved, preset_from
from kohya_gui.runs.worker import asked_at
from sd_scripts.library import events
from sd_scripts.library.config_output import config_text
from sd_scripts.library.data.caption_rules import CaptionRules, final_caption
from sd_scripts.library.data.captions import UnreadableText, read_caption, training_text
from sd_scripts.library.data.dataset_config import read_dataset_config
from sd_scripts.library.data.latents_head import read_head
from sd_scripts.library.data.npz import BrokenLatents, read_arrays
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import UserError
from sd_scripts.library.generate.asked import GRAMMAR
from sd_scripts.library.io.headers import pickled_header, safetensors_header
from sd_scripts.library.io.metadata import read_metadata, write_entries
from sd_scripts.library.io.reading import parse_json
from sd_scripts.library.models.prompt_weights import weighted_pieces
from sd_scripts.library.tagging.cleaning import DEFAULT_RULES, clean_caption, clean_tags, read_rules
from sd_scripts.library.tagging.tag_table import read_table
from sd_scripts.library.train.prompts import SAMPLES, read_lines, read_prompts
from sd_scripts.options.cli import parse
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import flat_values
from sd_scripts.options.values import split_words

Target = Callable[[bytes], None]
REFUSALS = (UserError, UnreadableText, BrokenLatents)
FOLDER = Path(tempfile.gettempdir())
_RULES = read_rules(DEFAULT_RULES)


@contextlib.contextmanager
def file_of(data: bytes, ending: str) -> Iterator[Path]:
    """A file that holds the bytes, as most parsers read one."""
    with tempfile.TemporaryDirectory(prefix="fuzz_", dir=FOLDER) as folder:
        path = Path(folder) / f"x{ending}"
        path.write_bytes(data)
        yield path


def _reading(read: Callable[[Path], Any], ending: str, again: Callable[[Path, Any], None] | None = None) -> Target:
    """Reads a file; `again` writes what was read, and reading that gives the same."""

    def target(data: bytes) -> None:
        with file_of(data, ending) as path, contextlib.suppress(*REFUSALS):
            value = read(path)
            if again:
                again(path, value)
                assert read(path) == value, value

    return target


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _imported(data: bytes) -> None:
    """Settings of other programs: a report, of which every value is one that the option takes."""
    for file_name in ("x.json", "x.toml", "x.sh"):
        with contextlib.suppress(UserError):
            json.dumps(read_settings(_text(data), file_name, "train_lora").as_json())


def _header(data: bytes) -> None:
    with contextlib.suppress(UserError, ValueError):
        found = parse_json(b"{" + data + b"}")
        if isinstance(found, dict):
            read_header({str(key): str(value) for key, value in found.items()}, "x")


def _commands(data: bytes) -> None:
    text = _text(data)
    split_commands(text, shell_of(text))
    split_words(text)


def _caption(data: bytes) -> None:
    """Text, rules and lots: a caption, whatever they are."""
    text = _text(data)
    separator = text[:1] or ","
    rules = CaptionRules(
        separator=separator, wildcards=True, shuffle=True, part_dropout_rate=0.1, keep_separator=text[1:3], keep_parts=1
    )
    caption = final_caption(text, rules, Item(0, 0), Moment(total_steps=10, seed=1))
    assert caption == final_caption(text, rules, Item(0, 0), Moment(total_steps=10, seed=1))
    training_text(text, caption)
    weights = [piece.weight for piece in weighted_pieces(text)]
    assert all(isinstance(weight, float) for weight in weights)
    clean_tags(text, _RULES)
    clean_caption(text, _RULES)


def _prompt(data: bytes) -> None:
    for grammar in (SAMPLES, GRAMMAR):
        with contextlib.suppress(UserError):
            read_lines(_text(data), "x", grammar)


def _config(data: bytes) -> None:
    """What --config_file gives is what --output_config writes of it."""
    with file_of(data, ".toml") as path, contextlib.suppress(UserError):
        options = parse(FineTuneOptions, ["--config_file", str(path)], "fine_tune.py")
        path.write_text(config_text(options), encoding="utf-8")
        assert flat_values(parse(FineTuneOptions, ["--config_file", str(path)], "fine_tune.py")) == flat_values(options)


def _preset(data: bytes) -> None:
    with file_of(data, ".json") as path:
        preset = preset_from(path, builtin=False)
        if preset:
            stage = json.loads(data)["stage"]
            path.write_text(json.dumps(as_saved(stage, preset)), encoding="utf-8")
            assert preset_from(path, builtin=False) is not None


def _lines(data: bytes) -> None:
    with file_of(data, ".jsonl") as path:
        assert all(request in events.REQUESTS for request in events.Requests(path).take())
        asked_at(path)
        for line in events.LineReader(path).new_lines():
            events.from_line(line)


TARGETS: dict[str, Target] = {
    "importing": _imported,
    "model_header": _header,
    "commands": _commands,
    "captions": _caption,
    "prompts": _prompt,
    "config_file": _config,
    "presets": _preset,
    "requests": _lines,
    "caption_files": _reading(read_caption, ".txt"),
    "prompts_json": _reading(lambda path: read_prompts(str(path)), ".json"),
    "prompts_toml": _reading(lambda path: read_prompts(str(path)), ".toml"),
    "dataset_config_toml": _reading(lambda path: read_dataset_config(str(path)), ".toml"),
    "dataset_config_json": _reading(lambda path: read_dataset_config(str(path)), ".json"),
    "rules": _reading(read_rules, ".toml"),
    "metadata": _reading(read_metadata, ".json", lambda path, read: write_entries(path, iter(read.items()))),
    "metadata_lines": _reading(read_metadata, ".jsonl"),
    "tag_csv": _reading(read_table, ".csv"),
    "tag_json": _reading(read_table, ".json"),
    "safetensors": _reading(safetensors_header, ".safetensors"),
    "pickles": _reading(pickled_header, ".ckpt"),
    "npz_head": _reading(read_head, ".npz"),
    "npz": _reading(read_arrays, ".npz"),
}
