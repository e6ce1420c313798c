"""Which pictures of an album are asked for, and in which order."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from kohya_gui.arguments import Json, Values, fits
from kohya_gui.dataset.album import Album, Picture
from kohya_gui.dataset.bucketing import fit_of, rules_of
from kohya_gui.dataset.texts import tags_in
from kohya_gui.words import refusal
from sd_scripts.library.data.buckets import BucketRules


@dataclass(frozen=True)
class Query:
    """All of it must hold. `text`: in a name or a text. `tags`, `without`: tags that are there, or are not.

    `show`: one of SHOWN. `bucket`: widthxheight. `min_px`, `max_px`: limits of the shorter side. `sort`: one of SORTED.
    `only`: paths of pictures, where not all are asked about. `values`: the Latents form, for buckets.
    """

    text: str = ""
    tags: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    show: str = "all"
    only: list[str] = field(default_factory=list)
    bucket: str = ""
    min_px: int | None = None
    max_px: int | None = None
    sort: str = "name"
    descending: bool = False
    values: Values = field(default_factory=dict)

    @classmethod
    def from_json(cls, given: Json) -> "Query":
        """A query as the page sends it. Errors: BadOption."""
        types = {f.name: f.type for f in fields(cls)}
        for name, value in given.items():
            if name not in types or not fits(value, types[name]):
                raise refusal("query", "dataset.bad_query", name=name)
        query = cls(**given)
        if query.show not in SHOWN or query.sort not in SORTED:
            raise refusal("query", "dataset.bad_query", name="sort" if query.show in SHOWN else "show")
        return query

    @property
    def needs_buckets(self) -> bool:
        """Whether buckets decide."""
        return bool(self.bucket) or self.show in ("enlarged", "cropped", "too_small")


Test = Callable[[Album, Picture, BucketRules | None], bool]


def _lacks(slot: int, album: Album, picture: Picture, rules: BucketRules | None) -> bool:
    return not album.both_texts(picture)[slot]


def _fit_is(name: str, album: Album, picture: Picture, rules: BucketRules | None) -> bool:
    fit = fit_of(picture, rules) if rules else None
    return bool(fit and getattr(fit, name))


SHOWN: dict[str, Test] = {
    "all": lambda album, picture, rules: True,
    "no_caption": partial(_lacks, 0),
    "no_tags": partial(_lacks, 1),
    "no_text": lambda album, picture, rules: not any(album.both_texts(picture)),
    "broken": lambda album, picture, rules: album.broken(picture) is not None,
    "unreadable": lambda album, picture, rules: any(
        (file := album.texts.get(place)) is not None and file.trouble is not None for place in picture.texts
    ),
    "unsaved": lambda album, picture, rules: album.is_unsaved(picture),
    "conflict": lambda album, picture, rules: any(map(album.in_conflict, picture.texts)),
    "enlarged": partial(_fit_is, "enlarged"),
    "cropped": partial(_fit_is, "cropped"),
    "too_small": lambda album, picture, rules: bool(picture.size_px and rules and not rules.fit(picture.size_px)),
}
"""What can be shown alone."""


def _natural(picture: Picture) -> tuple[tuple[int, int | str], ...]:
    """As people count: a2 before a10."""
    parts = re.split(r"(\d+)", picture.name.casefold())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


SORTED: dict[str, Callable[[Album, Picture], Any]] = {
    "name": lambda album, picture: _natural(picture),
    "changed": lambda album, picture: picture.stamp[0] if picture.stamp else 0,
    "pixels": lambda album, picture: picture.size_px[0] * picture.size_px[1] if picture.size_px else 0,
    "aspect": lambda album, picture: picture.size_px[0] / picture.size_px[1] if picture.size_px else 0.0,
    "tags": lambda album, picture: len(tags_in(album.tags_text(picture))),
    "length": lambda album, picture: sum(map(len, album.both_texts(picture))),
}
"""Orders; those that are equal in one stand by name."""


def find(album: Album, query: Query) -> list[int]:
    """The pictures that a query asks for, in its order. Errors: BadOption, for settings of buckets."""
    rules = rules_of(query.values) if query.needs_buckets else None
    tests = _tests(query, rules)
    ids = [id for id in album.alive() if all(test(album, album.pictures[id]) for test in tests)]
    ids.sort(key=lambda id: _natural(album.pictures[id]))
    if query.sort != "name":
        ids.sort(key=lambda id: SORTED[query.sort](album, album.pictures[id]))
    return ids[::-1] if query.descending else ids


def _tests(query: Query, rules: BucketRules | None) -> list[Callable[[Album, Picture], bool]]:
    """Those tests that the query needs, cheap ones first."""
    tests: list[Callable[[Album, Picture], bool]] = []
    if query.only:
        asked = set(query.only)
        tests.append(lambda album, picture: picture.place in asked)
    if query.min_px is not None or query.max_px is not None:
        low_px, high_px = query.min_px or 0, query.max_px or float("inf")
        tests.append(lambda album, picture: bool(picture.size_px and low_px <= min(picture.size_px) <= high_px))
    if query.bucket and rules:
        tests.append(lambda album, picture: (fit := fit_of(picture, rules)) is not None and fit.bucket == query.bucket)
    if query.show != "all":
        tests.append(lambda album, picture: SHOWN[query.show](album, picture, rules))
    if query.text:
        sought = query.text.casefold()
        tests.append(
            lambda album, picture: any(sought in text.casefold() for text in (picture.name, *album.both_texts(picture)))
        )
    if query.tags or query.without:
        wanted, unwanted = set(query.tags), set(query.without)
        tests.append(
            lambda album, picture: wanted <= (has := set(tags_in(album.tags_text(picture)))) and not unwanted & has
        )
    return tests


def tag_counts(album: Album, ids: list[int], holding: str, most: int) -> dict[str, Any]:
    """The most frequent tags of pictures whose name holds a text: [[tag, pictures], ...]; `all`: how many there are."""
    counts = Counter(tag for id in ids for tag in set(tags_in(album.tags_text(album.pictures[id]))))
    sought = holding.casefold()
    found = [(tag, n) for tag, n in counts.items() if sought in tag.casefold()]
    found.sort(key=lambda row: (-row[1], row[0]))
    return {"tags": [list(row) for row in found[:most]], "all": len(found)}
