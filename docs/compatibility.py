"""compatibility.md: what of sd-scripts' command lines works here, what is refused and why, and what differs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sd_scripts.library.train.known_optimizers import CANNOT
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import OptionSpec, option_specs

TABLES = Path(__file__).resolve().parents[1] / "tests" / "golden" / "cli"
TAKEN_DOWN = "November 2026"

_REASONS = {
    "caption_weights": "the same model as transformers keep it on the hub; the original file is read too",
    "max_token_length": "75 says the default aloud",
    "v_parameterization": "it does not follow from v2, as some models of version 2 predict noise",
    "clamp_quantile": "cutting makes the LoRA less exact, so it is only done when asked for",
    "save_precision_as": "each part keeps its own format",
}
"""Why a default or the choices differ, by option."""

_HABITS = (
    "A flag is never swallowed: it works, it is refused with a sentence (below), or it is unknown and the nearest name"
    " is shown.",
    "Flags cannot be shortened. Former spellings work.",
    "Ranges are checked: a value that could only fail later is refused at the start.",
    "Combinations in which an option would have no effect are refused, or told.",
    "In a `--config_file`, unknown keys and values of the wrong type are refused, and the file is named. A switch that"
    " the file turns on cannot be turned off on the command line, as with sd-scripts.",
    "States (`--resume`) are of our own kind: step, epoch, order and noise go on exactly. Those of sd-scripts cannot be"
    " read.",
    "Optimizers are known by name in any letter case: those that sd-scripts knows, those of torch.optim, and those of"
    " pytorch-optimizer besides. What a schedule-free optimizer, or AdaFactor with own rates, does not use is said.",
    "`--console_log_file` is added to, not overwritten, and the terminal shows the same lines.",
    "wandb is given figures, samples and, with `--log_config`, the options: not the command line, not what the terminal"
    " shows, no paths. `--wandb_api_key` is not written into any file.",
    "The name of a sample's file always ends in its seed.",
    "Lists of ranks and rates in `--network_args` have a number for each block; shorter ones are not filled up. An"
    " unknown argument of networks.lora is refused. A learning rate of 0 leaves that part out of the network.",
    "`--network_args dora_wd=True` trains DoRA; its `dora_scale` is one number a row, as LyCORIS has it. diffusers"
    " reads such a file without those numbers, and so draws something else.",
    "`--initial_step` begins the course there, at a learning rate that begins there too; with `--resume` the state says"
    " where training stands.",
    "Where sd-scripts' fine_tune.py accepts a flag and ignores it, the flag means here what train_network.py does.",
)


def compatibility() -> str:
    """The document, as Markdown."""
    tables = {script: _table(script) for script in SCRIPTS}
    lines = [
        "# Compatibility with sd-scripts",
        "",
        "Commands, TOML files and habits of kohya's sd-scripts can be taken along: the same flag has the same type,"
        " default and meaning. This page lists where that ends. All options: [options.md](options.md).",
        "",
        f"The flags of sd-scripts were taken down in {TAKEN_DOWN}, in a table for each script: tests/golden/cli.",
        "",
        "<!-- Written by docs/make_docs.py from sd_scripts/options and those tables; do not edit. -->",
        *_counts(tables),
        "",
        "## What differs everywhere",
        "",
        *(f"- {habit}" for habit in _HABITS),
        *_refused(tables),
        "",
        "## Optimizers of torch and pytorch-optimizer that cannot train here",
        "",
        *(f"- `{name}` {reason}." for name, reason in CANNOT.items()),
        *_aliases(tables),
        *_differences(tables),
        *_ours(tables),
    ]
    return "\n".join(lines) + "\n"


def _table(script: str) -> dict[str, Any]:
    path = TABLES / script.replace("/", "__").replace(".py", ".json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _flags(table: dict[str, Any], status: str) -> dict[str, dict[str, Any]]:
    return {name: row for name, row in table["flags"].items() if row["status"] == status}


def _counts(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from ("", "| Script | Flags of sd-scripts | work | former spellings | refused | flags of our own |")
    yield "|---|---|---|---|---|---|"
    for script, table in tables.items():
        counts = [len(_flags(table, status)) for status in ("works", "alias", "refused")]
        yield f"| `{script}` | {' | '.join(map(str, [len(table['flags']), *counts, len(table['ours'])]))} |"


def _refused(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from ("", "## Refused, and why", "", "Each of these ends a script at once, with this sentence.")
    for script, table in tables.items():
        by_sentence: dict[str, list[str]] = {}
        for name, row in _flags(table, "refused").items():
            by_sentence.setdefault(row["sentence"], []).append(f"`--{name}`")
        if by_sentence:
            yield from ("", f"### `{script}`", "")
            yield from (f"- {', '.join(names)}: {sentence}" for sentence, names in by_sentence.items())


def _aliases(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from ("", "## Former spellings", "")
    for script, table in tables.items():
        for name, row in _flags(table, "alias").items():
            yield f"- `{script}`: `--{name}` is `--{row['of']}`."


def _differences(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from ("", "## Other defaults and choices", "")
    for script, table in tables.items():
        for name, row in _flags(table, "works").items():
            spec = option_specs(SCRIPTS[script])[name]
            for text in _different(spec, row):
                yield f"- `{script}`: `--{name}` {text}: {_REASONS[name]}."


def _different(spec: OptionSpec, row: dict[str, Any]) -> Iterator[str]:
    if "our_default" in row:
        yield f"is `{spec.default}` if not given, there `{row['default']}`"
    added = [choice for choice in spec.choices if choice not in row.get("choices", [])]
    if added:
        yield f"also takes {', '.join(f'`{choice}`' for choice in added)}"


def _ours(tables: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from ("", "## Flags of our own")
    known = {name for table in tables.values() for name in table["flags"]}
    for script, table in tables.items():
        if not table["ours"]:
            continue
        yield from ("", f"### `{script}`", "")
        own = table["ours"]
        if not table["flags"]:
            yield from ("sd-scripts has no such script. What it shares with others is not listed.", "")
            own = [name for name in own if name not in known]
        specs = option_specs(SCRIPTS[script])
        yield from (f"- `{_shown(specs[name])}`: {specs[name].help}" for name in own)


def _shown(spec: OptionSpec) -> str:
    return spec.name if spec.positional else f"--{spec.name}"
