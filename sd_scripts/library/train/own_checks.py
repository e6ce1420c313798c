"""What each training's script checks for itself before a model is loaded. Needs no torch."""

from collections.abc import Callable
from typing import Any

from sd_scripts.library.train.checks.whole import check_whole
from sd_scripts.library.train.hypernetwork_rules import check_hypernetwork
from sd_scripts.library.train.inversion_rules import check_inversion
from sd_scripts.library.train.network_rules import check_network

OWN_CHECKS: dict[str, Callable[[Any], None]] = {
    "fine_tune.py": check_whole,
    "train_db.py": check_whole,
    "sdxl_train.py": check_whole,
    "train_network.py": check_network,
    "sdxl_train_network.py": check_network,
    "train_textual_inversion.py": check_inversion,
    "sdxl_train_textual_inversion.py": check_inversion,
    "train_hypernetwork.py": check_hypernetwork,
}
"""{script: its check}."""
