"""Changes what the header of a .safetensors file says of its model; the weights stay as they are."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.model_tools import EditMetadataOptions  # noqa: E402


def work(options: EditMetadataOptions, report: Report) -> None:
    """Keys of the options first, then those of the model-spec."""
    from sd_scripts.library.io.header_edit import edit_metadata
    from sd_scripts.library.train.about import given_spec

    edit_metadata(options.files, options.keys, given_spec(options.about), report)


if __name__ == "__main__":
    run_program(EditMetadataOptions, work)
