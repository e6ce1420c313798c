"""Effects of the options of the hub and of config files. Every run has a hub of its own, with a state in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.effects.check import checked
from tests.effects.conftest import Run
from tests.effects.effect import Effect, refused, seen
from tests.effects.run import Observed, needed, observe
from tests.hub import WRITES, Hub, files_of, serving

TO = {"huggingface_repo_id": "me/cats"}

HUB = [
    Effect("huggingface_repo_id", "me/cats", ("files", "said"), unseen_in=("losses",)),
    seen("huggingface_path_in_repo", "runs", "files", **TO),
    seen("huggingface_repo_type", "dataset", "files", **TO),
    seen("huggingface_repo_visibility", "public", "files", **TO),
    seen("save_state_to_huggingface", True, "files", **TO, save_state=True),
    Effect("async_upload", True, ("said",), TO, unseen_in=("files", "losses")),
    refused("huggingface_token", "hf_unknown", "the hub does not know the token", **TO),
    Effect("resume_from_huggingface", True, ("error", "losses"), {"resume": "me/state"}, says="Going on after step 1"),
]

CONFIG = [
    seen("config_file", "{here}/options.toml", "losses", "header"),
    Effect("output_config", True, ("error", "files"), {"config_file": "{here}/new"}, says="Wrote {here}/new.toml."),
]

ROWS = [*HUB, *CONFIG]


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """As everywhere, and what lies on the hub afterwards counts as files."""
    known: dict[str, Observed] = {}

    def run(script: str, values: dict[str, Any], watched: bool = False) -> Observed:
        name = json.dumps([script, values], sort_keys=True)
        if name not in known:
            here = tmp_path_factory.mktemp("run") / "here"
            with serving() as hub, pytest.MonkeyPatch.context() as patch:
                hub.serve("me/state", files_of(world / "state"))
                hub.lead_here(patch, here.parent / "cache")
                patch.setenv("HF_TOKEN", WRITES)
                known[name] = observe(script, needed(script) | values, world, here)
                known[name].files |= on_hub(hub)
        return known[name]

    yield run


def on_hub(hub: Hub) -> dict[str, str]:
    """Which files lie in which repository, and who sees them."""
    return {
        f"{id}/{name}": "private" if stored.private else "public"
        for id, stored in hub.repositories.items()
        for name in stored.files
    }


test_it_changes_what_it_should = pytest.mark.filterwarnings(
    # The client passes files on in a way that its own transport calls old.
    "ignore:Use 'content:DeprecationWarning"
)(checked(ROWS))
