"""Prints what the header of a .safetensors file says of its model."""

import io
import json
import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report, counted  # noqa: E402
from sd_scripts.options.model_tools import ShowMetadataOptions  # noqa: E402


def work(options: ShowMetadataOptions, report: Report) -> None:
    """Prints JSON to standard output, sorted by key, so that it can be kept and given to edit_metadata.py."""
    from sd_scripts.library.io.header_edit import read_metadata_of

    _, metadata = read_metadata_of("--model", options.model)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(json.dumps(metadata, indent=4, sort_keys=True, ensure_ascii=False), flush=True)
    report.summary(f"{counted(len(metadata), 'key')} in {options.model}.", keys=len(metadata))


if __name__ == "__main__":
    run_program(ShowMetadataOptions, work)
