"""How the rows of a table are tested."""

from collections.abc import Callable

import pytest

from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import option_specs
from tests.effects.conftest import Run
from tests.effects.effect import Effect
from tests.effects.run import needed


def checked(rows: list[Effect]) -> Callable[..., None]:
    """The test of some rows: each option changes what its row says."""

    @pytest.mark.parametrize("row", rows, ids=lambda row: row.name)
    def test(row: Effect, run: Run) -> None:
        default = option_specs(SCRIPTS[row.script])[row.flag].default
        assert (needed(row.script) | row.given).get(row.flag, default) != row.value
        watched = "computed" in row.seen_in
        plain = run(row.script, row.given, watched)
        changed = run(row.script, row.given | {row.flag: row.value}, watched)
        assert "error" in row.seen_in or (not plain.error and not changed.error), plain.error or changed.error
        assert row.seen_in, "an effect is seen somewhere"
        for name in row.seen_in:
            assert getattr(changed, name) != getattr(plain, name), name
        for name in row.unseen_in:
            assert getattr(changed, name) == getattr(plain, name), name
        assert row.says in f"{changed.said}\n{changed.error}"

    return test
