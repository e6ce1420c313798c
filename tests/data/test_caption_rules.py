"""Captions as they are trained: examples worked out by hand, and what must hold of all captions."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.data.caption_rules import CaptionRules, caption_rules, final_caption, idle_options, warm_count
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.data.prefetch import Readers, prefetch
from sd_scripts.library.data.training_data import Example, Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.options.captions import CaptionOptions

ITEMS = [Item(image, repeat) for image in range(500) for repeat in range(4)]
FIRST = Item(0, 0)

# Parts as users write them: any language, spaces inside, no mark, no line end, no comma.
words = st.text(st.characters(exclude_characters=",|;{}\n", exclude_categories=["Cs", "Cc", "Z"]), min_size=1)
part_lists = st.lists(words, max_size=8)
shuffles = st.builds(
    CaptionRules,
    shuffle=st.booleans(),
    keep_parts=st.integers(0, 4),
    keep_separator=st.just("|||"),
    part_dropout_rate=st.sampled_from([0.0, 0.3, 1.0]),
    warmup_min_parts=st.integers(0, 3),
    warmup_steps=st.sampled_from([0.0, 0.5, 7.0]),
)
items = st.builds(Item, st.integers(0, 99), st.integers(0, 9))
moments = st.builds(Moment, st.integers(0, 9), st.integers(0, 19), st.just(20), st.integers(0, 9))


def shown(text: str, rules: CaptionRules, epoch: int = 0) -> list[str]:
    return [final_caption(text, rules, item, Moment(epoch)) for item in ITEMS]


def parts(caption: str) -> list[str]:
    return caption.split(", ") if caption else []


def share(captions: list[str], caption: str) -> float:
    return captions.count(caption) / len(captions)


def test_without_rules_the_first_line_is_trained_as_it_is() -> None:
    assert final_caption("k,  1 {a|b} {{|||\nmore", CaptionRules(), FIRST, Moment()) == "k,  1 {a|b} {{|||"


def test_kept_parts_stay_in_front_and_the_rest_is_shuffled() -> None:
    text = "sks dog, a,b , ,c,d,"
    seen = set(shown(text, CaptionRules(shuffle=True, keep_parts=1)))
    assert all(caption.startswith("sks dog, ") for caption in seen)
    assert {tuple(sorted(parts(caption))) for caption in seen} == {("a", "b", "c", "d", "sks dog")}
    assert len(seen) == 24
    assert set(shown(text, CaptionRules(shuffle=True, keep_parts=9))) == {"sks dog, a, b, c, d"}
    assert set(shown("one|two", CaptionRules(separator="|", shuffle=True, keep_parts=2))) == {"one, two"}


def test_a_mark_says_what_stays_in_front_and_a_second_one_what_stays_at_the_end() -> None:
    rules = CaptionRules(shuffle=True, keep_separator="|||", keep_parts=1)
    assert set(shown("a, b ||| c, d", rules)) == {"a, b, c, d", "a, b, d, c"}
    assert set(shown("a ||| c, d ||| y, z", rules)) == {"a, c, d, y, z", "a, d, c, y, z"}
    assert set(shown("||| c, d ||| z", rules)) == {"c, d, z", "d, c, z"}
    assert set(shown("a, c, d", rules)) == {"a, c, d", "a, d, c"}, "without a mark the number counts"
    assert set(shown("a ||| c", CaptionRules(keep_separator="|||"))) == {"a, c"}, "a mark is never trained"


def test_parts_stay_together_around_the_secondary_separator() -> None:
    rules = CaptionRules(shuffle=True, secondary_separator=";;;")
    assert set(shown("a;;;b, c", rules)) == {"a,b, c", "c, a,b"}
    assert set(shown("a;;;b, c", replace(rules, shuffle=False))) == {"a,b, c"}


def test_prefix_and_suffix_stand_around_the_line_that_is_trained() -> None:
    rules = CaptionRules(prefix="pre,", suffix="post")
    assert set(shown("one\ntwo", rules)) == {"pre, one post"}
    assert set(shown("one\ntwo", replace(rules, wildcards=True))) == {"pre, one post", "pre, two post"}
    assert set(shown("a", replace(rules, dropout_rate=1.0))) == {""}
    kept = CaptionRules(prefix="sks, |||", suffix=", ||| end", shuffle=True, keep_separator="|||")
    assert set(shown("a, b", kept)) == {"sks, a, b, end", "sks, b, a, end"}


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("a {red|blue} cat", {"a red cat", "a blue cat"}),
        ("{a|b}{c|d}", {"ac", "ad", "bc", "bd"}),
        ("a {|very }big cat", {"a big cat", "a very big cat"}),
        ("{{a|b}}", {"{a|b}"}),
        ("{a}} b", {"{a} b"}),
        ("{x{{y}}|z}", {"x{y}", "z"}),
        ("{alone}", {"alone"}),
        ("{} } {", {"{} } {"}),
        ("猫{犬|鳥}", {"猫犬", "猫鳥"}),
        ("one\ntwo {a|b}", {"one", "two a", "two b"}),
        ("", {""}),
    ],
)
def test_wildcards(text: str, captions: set[str]) -> None:
    assert set(shown(text, CaptionRules(wildcards=True))) == captions


def test_wildcards_and_lines_are_chosen_evenly() -> None:
    seen = Counter(shown("a\n{b|c|d}", CaptionRules(wildcards=True)))
    assert abs(seen["a"] / len(ITEMS) - 1 / 2) < 0.05
    assert all(abs(seen[word] / len(ITEMS) - 1 / 6) < 0.05 for word in "bcd")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_captions_are_dropped_at_the_asked_rate(rate: float) -> None:
    captions = shown("a, b", CaptionRules(dropout_rate=rate))
    assert set(captions) <= {"", "a, b"}
    assert share(captions, "") == rate if rate in (0, 1) else abs(share(captions, "") - rate) < 0.03


def test_all_captions_are_dropped_in_every_nth_epoch_counted_from_one() -> None:
    rules = CaptionRules(dropout_every_n_epochs=3, prefix="p")
    assert [final_caption("a", rules, FIRST, Moment(epoch)) for epoch in range(7)] == [
        "p a", "p a", "", "p a", "p a", "", "p a",
    ]  # fmt: skip
    assert set(shown("a", CaptionRules(dropout_every_n_epochs=1))) == {""}


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.7, 1.0])
def test_parts_are_dropped_at_the_asked_rate_and_kept_ones_stay(rate: float) -> None:
    rules = CaptionRules(part_dropout_rate=rate, keep_separator="|||")
    captions = shown("f ||| a, b, c, d ||| e", rules)
    assert all(caption.startswith("f") and caption.endswith("e") for caption in captions)
    left = sum(len(parts(caption)) - 2 for caption in captions) / (4 * len(captions))
    assert left == 1 - rate if rate in (0, 1) else abs(left - (1 - rate)) < 0.03
    assert rate != 0.7 or len(set(captions)) == 16


def test_the_warm_up_counts_as_worked_out_by_hand() -> None:
    by_steps = CaptionRules(warmup_min_parts=1, warmup_steps=10)
    # floor(step * (5 - 1) / 10) + 1
    assert [warm_count(5, by_steps, Moment(step=step, total_steps=99)) for step in range(12)] == [
        1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5,
    ]  # fmt: skip
    by_share = CaptionRules(warmup_min_parts=2, warmup_steps=0.1)
    assert [warm_count(6, by_share, Moment(step=step, total_steps=40)) for step in range(5)] == [2, 3, 4, 5, 6]
    assert warm_count(6, by_share, Moment(step=0, total_steps=9)) == 6, "a tenth of 9 steps is none"
    assert {warm_count(2, CaptionRules(warmup_min_parts=5, warmup_steps=9), Moment(step=s)) >= 2 for s in range(9)} == {
        True
    }


def test_the_warm_up_shows_the_first_parts_beside_those_that_are_kept() -> None:
    rules = CaptionRules(warmup_steps=4, keep_parts=1, shuffle=True)
    seen = [final_caption("k, a, b, c", rules, FIRST, Moment(step=step, total_steps=9)) for step in range(5)]
    assert [sorted(parts(caption)) for caption in seen] == [
        ["a", "k"], ["a", "k"], ["a", "b", "k"], ["a", "b", "k"], ["a", "b", "c", "k"],
    ]  # fmt: skip


@given(part_lists, part_lists, part_lists, shuffles, items, moments)
def test_fixed_parts_never_move_and_no_part_is_made_up(
    front: list[str], middle: list[str], end: list[str], rules: CaptionRules, item: Item, moment: Moment
) -> None:
    text = "|||".join(",".join(some) for some in (front, middle, end))
    caption = final_caption(text, rules, item, moment)
    assert caption == final_caption(text, rules, item, moment)
    found = parts(caption)
    assert found[: len(front)] == front
    assert found[len(found) - len(end) :] == end
    rest = Counter(found[len(front) : len(found) - len(end)])
    assert rest <= Counter(middle)
    if rules.part_dropout_rate == 0:
        assert rest == Counter(middle[: warm_count(len(middle), rules, moment)])
    if rules.part_dropout_rate == 1:
        assert not rest


@given(part_lists, shuffles, items, moments)
def test_kept_tokens_never_move(words: list[str], rules: CaptionRules, item: Item, moment: Moment) -> None:
    found = parts(final_caption(" , ".join(words), rules, item, moment))
    assert found[: rules.keep_parts] == words[: rules.keep_parts]
    if not rules.part_dropout_rate and not rules.warmup_steps:
        assert Counter(found) == Counter(words)


@settings(max_examples=30)
@given(st.text(), st.builds(replace, shuffles, wildcards=st.booleans(), dropout_rate=st.just(0.5)), items, moments)
def test_any_text_has_one_caption_at_a_moment(text: str, rules: CaptionRules, item: Item, moment: Moment) -> None:
    caption = final_caption(text, rules, item, moment)
    assert caption == final_caption(text, rules, item, moment)
    assert rules.warmup_steps or caption == final_caption(text, rules, item, moment._replace(step=moment.step + 1))
    assert "\n" not in caption


def test_captions_do_not_depend_on_the_number_of_readers_or_the_order_of_asking() -> None:
    rules = CaptionRules(shuffle=True, part_dropout_rate=0.3, dropout_rate=0.1, wildcards=True)
    text = "{a|b}, c, d\ne, f, g, h"
    batches = [ITEMS[start : start + 4] for start in range(0, 200, 4)]

    def load(item: Item) -> Example:
        return Example(item, final_caption(text, rules, item, Moment(3)))

    seen = [list(prefetch(batches, load, Readers(readers), lambda *_: None)) for readers in (0, 1, 4)]
    assert seen[0] == seen[1] == seen[2]
    backwards = {item: final_caption(text, rules, item, Moment(3)) for item in reversed(ITEMS[:200])}
    assert {example.item: example.caption for batch in seen[0] for example in batch} == backwards
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(load, ITEMS[:200])) == [example for batch in seen[0] for example in batch]


def test_what_is_drawn_for_one_use_says_nothing_of_another() -> None:
    text, both = "a, b", CaptionRules(dropout_rate=0.5, shuffle=True)
    plain = shown(text, CaptionRules(shuffle=True))
    pairs = Counter(zip(plain, shown(text, both), strict=True))
    assert all(dropped in (order, "") for order, dropped in pairs), "dropping leaves the order of the others alone"
    assert all(400 < pairs[order, ""] < 600 for order in ("a, b", "b, a"))
    assert shown(text, both) != shown(text, both, epoch=1)


def test_rules_of_options() -> None:
    assert caption_rules(CaptionOptions()) == CaptionRules()
    assert not CaptionRules().changing and not CaptionRules(dropout_rate=0.5, prefix="p").changing
    options = CaptionOptions(
        shuffle_caption=True,
        caption_separator=";",
        keep_tokens=2,
        keep_tokens_separator="|||",
        secondary_separator="+",
        enable_wildcard=True,
        caption_prefix="p",
        caption_suffix="s",
        caption_dropout_rate=0.1,
        caption_dropout_every_n_epochs=3,
        caption_tag_dropout_rate=0.2,
        token_warmup_min=4,
        token_warmup_step=0.5,
    )
    assert caption_rules(options) == CaptionRules(";", True, 2, "|||", "+", True, "p", "s", 0.1, 3, 0.2, 4, 0.5)


@pytest.mark.parametrize(
    ("options", "option", "sentence"),
    [
        ({"caption_separator": ""}, "caption_separator", "must not be empty. Leave it out for a comma"),
        ({"secondary_separator": ","}, "secondary_separator", 'has the caption_separator "," in it'),
        ({"secondary_separator": ";;", "caption_separator": ";"}, "secondary_separator", "Use another mark"),
    ],
)
def test_separators_that_cannot_separate_are_refused(options: dict[str, str], option: str, sentence: str) -> None:
    with pytest.raises(BadOption, match=sentence) as caught:
        caption_rules(CaptionOptions(**options))
    assert caught.value.option == option


def test_options_that_change_nothing_are_said() -> None:
    assert idle_options(CaptionRules()) == {}
    assert idle_options(CaptionRules(keep_parts=1)).keys() == {"keep_tokens"}
    assert idle_options(CaptionRules(keep_parts=1, part_dropout_rate=0.1)) == {}
    assert idle_options(CaptionRules(warmup_min_parts=2)) == {"token_warmup_min": ("token_warmup_step",)}
    assert idle_options(CaptionRules(warmup_min_parts=2, warmup_steps=9)) == {}


def test_every_line_keeps_the_tags() -> None:
    assert training_text("a cat\n\n a dog ", "1cat, red\nbig") == "a cat, 1cat, red"
    assert training_text("a cat\n\n a dog ", "1, 2\nbig", every_line=True) == "a cat, 1, 2, big\na dog, 1, 2, big"
    assert training_text("", "1, 2\n3", every_line=True) == "1, 2\n3"
    assert training_text("a\nb", " ", every_line=True) == "a\nb"
    assert training_text("a cat", "1; 2", ";") == "a cat; 1; 2"
