"""JSON objects pair by pair: what is read and written is what the json module reads and writes, through any window."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.io import json_pairs
from sd_scripts.library.io.json_pairs import NoObject, read_pairs, write_pairs

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)


@pytest.fixture(scope="module", autouse=True)
def narrow_window() -> Any:
    """Seven letters, so that every pair lies across an edge."""
    wide, json_pairs.WINDOW_LETTERS = json_pairs.WINDOW_LETTERS, 7
    yield
    json_pairs.WINDOW_LETTERS = wide


def read(text: str) -> Any:
    return dict(read_pairs(io.StringIO(text)))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(OBJECTS, st.sampled_from([None, 0, 1, 2]))
def test_reads_what_json_reads(value: dict[str, Any], indent: int | None) -> None:
    assert read(json.dumps(value, indent=indent)) == value
    assert read(f" \n{json.dumps(value, ensure_ascii=False, indent=indent)}\t\n ") == value


@settings(max_examples=150, derandomize=True, deadline=None)
@given(OBJECTS)
def test_writes_what_json_writes(value: dict[str, Any]) -> None:
    out = io.StringIO()
    assert write_pairs(out, value.items()) == len(value)
    assert out.getvalue() == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


WHOLE = json.dumps({"a": {"caption": "one\ntwo", "train_resolution": [512, 64]}, "b": {}, "c": 1.5}, indent=1)


@pytest.mark.parametrize("place", range(len(WHOLE)))
def test_damage_is_found_where_json_finds_it(place: int) -> None:
    for text in (WHOLE[:place], f"{WHOLE[:place]}#{WHOLE[place + 1 :]}", f"{WHOLE[:place]},{WHOLE[place:]}"):
        try:
            expected = json.loads(text)
        except json.JSONDecodeError as error:
            with pytest.raises(json.JSONDecodeError) as found:
                read(text)
            # At the end of a line the json module may name the next one.
            assert abs(found.value.lineno - error.lineno) <= 1
            if found.value.lineno == error.lineno:
                assert found.value.colno == error.colno
        else:
            assert read(text) == expected


@pytest.mark.parametrize(("text", "kind"), [("[1]", "list"), ('"a"', "text"), ("12", "value"), ("null", "value")])
def test_json_of_another_kind_is_named(text: str, kind: str) -> None:
    with pytest.raises(NoObject, match=kind):
        read(text)


def test_a_vast_damaged_file_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pairs, "LONGEST_LETTERS", 1000)
    file = io.StringIO('{"a": "' + "x" * 100_000)
    with pytest.raises(json.JSONDecodeError):
        list(read_pairs(file))
    assert file.tell() < 5000


def test_a_key_that_comes_twice_is_given_twice() -> None:
    assert list(read_pairs(io.StringIO('{"a": 1, "a": 2}'))) == [("a", 1), ("a", 2)]


def test_what_is_nested_too_deeply_is_damage_and_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pairs, "WINDOW_LETTERS", 50_000)
    with pytest.raises(RecursionError):
        read("[" * 100_000)
    with pytest.raises(NoObject, match="list"):
        read("[" + "1, " * 50_000)
