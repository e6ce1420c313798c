"""Starts TensorBoard below the secret path that its environment names: `python board.py --logdir FOLDER ...`."""

import os
import sys

SECRET = "STUDIO_BOARD_SECRET"


def main() -> None:
    """Serves until it is ended."""
    # TensorBoard takes a while to import, and the page needs only the name above.
    from absl import app
    from tensorboard import default, main_lib, program

    below = [f"--path_prefix=/{os.environ.pop(SECRET)}"]
    main_lib.global_init()
    # Its own views only: the projector, which comes as an addition, opens whatever file a log folder names.
    tensorboard = program.TensorBoard(plugins=default.get_static_plugins())
    app.run(tensorboard.main, argv=[*sys.argv, *below], flags_parser=tensorboard.configure)


if __name__ == "__main__":
    # Its folder holds modules of the page, which TensorBoard must not take for its own.
    sys.path.pop(0)
    main()
