"""Starts the page: `python gui.py --help` lists its options."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent
sys.path.insert(0, str(REPOSITORY))

from kohya_gui.settings import ServerOptions  # noqa: E402
from sd_scripts.library.errors import UserError  # noqa: E402
from sd_scripts.options.cli import parse  # noqa: E402


def main() -> int:
    """Serves the page until Ctrl+C; exit code 2 for an option that cannot be used."""
    try:
        options = parse(ServerOptions, sys.argv[1:], "gui.py")
        # The page takes seconds to import; --help and wrong options are answered before.
        from kohya_gui.app import build, page_assets, page_script
        from kohya_gui.server import Page, serve

        serve(options, REPOSITORY, Page(build, page_assets(), page_script()))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
