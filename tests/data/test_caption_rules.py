"""Captions as they are trained."""

from sd_scripts.library.data.caption_rules import shuffled


def test_kept_parts_stay_in_front_and_the_rest_is_shuffled() -> None:
    text = "sks dog, a,b , ,c,d,"
    seen = {shuffled(text, ",", 1, seed) for seed in range(200)}
    assert all(caption.startswith("sks dog, ") for caption in seen)
    assert {tuple(sorted(caption.split(", "))) for caption in seen} == {("a", "b", "c", "d", "sks dog")}
    assert len(seen) == 24
    assert shuffled(text, ",", 9, 0) == "sks dog, a, b, c, d"
    assert shuffled("one|two", "|", 2, 0) == "one, two"
