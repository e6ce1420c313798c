"""Whatever a parser is given, it gives a value or a sentence (the full search: `python -m benchmarks.fuzz`)."""

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import SEEDS, WORDS
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).with_name("found.txt")


def changed(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Good input with pieces put into it, left out, or put in the place of others; or nothing but pieces."""
    piece = st.one_of(
        st.sampled_from(WORDS),
        st.binary(max_size=8),
        st.text(max_size=8).map(lambda t: t.encode("utf-8", "surrogatepass")),
    )
    spot = st.tuples(st.floats(0, 1), st.integers(0, 12), piece)

    def apply(seed: bytes, spots: list[tuple[float, int, bytes]]) -> bytes:
        for share, length, new in spots:
            place = int(share * len(seed))
            seed = seed[:place] + new + seed[place + length :]
        return seed

    return st.builds(apply, st.sampled_from([*seeds, b""]), st.lists(spot, max_size=5))


@pytest.mark.parametrize("name", TARGETS)
def test_it_gives_a_value_or_a_sentence(name: str) -> None:
    @settings(max_examples=15, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(changed(SEEDS[name]))
    def search(data: bytes) -> None:
        TARGETS[name](data)

    for seed in SEEDS[name]:
        TARGETS[name](seed)
    search()


def test_what_was_found_once_stays_mended() -> None:
    for line in FOUND.read_text(encoding="ascii").splitlines():
        if line and line[0] != "#":
            name, data = line.split()
            TARGETS[name](base64.b64decode(data))
