"""From a tagger's confidences to the tags that are written: spelling, choice and order."""

import re
from typing import TYPE_CHECKING

from sd_scripts.library.errors import BadOption
from sd_scripts.library.tagging.tag_table import CHARACTER, GENERAL, QUALITY, RATING, TagTable
from sd_scripts.options.tagging import Wd14TextOptions, Wd14ThresholdOptions

if TYPE_CHECKING:
    import numpy as np

CHOSEN_BY_THRESHOLD = (GENERAL, CHARACTER, "copyright", "artist", "meta", "model")

# Emoticons such as ^_^ and o_o keep their underscore.
EMOTICON_LENGTH = 3


class TagRules:
    """The text options, made ready for one tagger. Errors: BadOption, for options that cannot be followed."""

    def __init__(self, table: TagTable, thresholds: Wd14ThresholdOptions, text: Wd14TextOptions) -> None:
        import numpy as np

        self._text = text
        categories = (*CHOSEN_BY_THRESHOLD, RATING, QUALITY)
        self._groups = {category: np.array(table.of(category), dtype=np.intp) for category in categories}
        self._check_known(RATING, "use_rating_tags", "use_rating_tags_as_last_tag")
        self._check_known(QUALITY, "use_quality_tags", "use_quality_tags_as_last_tag")
        own = {category: getattr(thresholds, f"{category}_threshold") for category in CHOSEN_BY_THRESHOLD}
        self._thresholds = {category: thresholds.thresh if its is None else its for category, its in own.items()}
        self._undesired = self._either_spelling(text.undesired_tags)
        self._first = list(self._either_spelling(text.always_first_tags or ""))
        self._replacements = self._read_replacements(text.tag_replacement or "")
        self._written = [
            self._write(name, category) for name, category in zip(table.names, table.categories, strict=True)
        ]

    def tags(self, confidences_T: "np.ndarray") -> list[str]:
        """The tags of one picture, from a confidence (0 to 1) for every tag of the table; none of them twice."""
        order = (
            (CHARACTER, GENERAL, *CHOSEN_BY_THRESHOLD[2:]) if self._text.character_tags_first else CHOSEN_BY_THRESHOLD
        )
        middle = [place for category in order for place in self._above(category, confidences_T)]
        front, back = self._ends(confidences_T)
        tags = list(dict.fromkeys(tag for place in (*front, *middle, *back) for tag in self._written[place]))
        first = [tag for tag in self._first if tag in tags]
        return first + [tag for tag in tags if tag not in first]

    def _ends(self, confidences_T: "np.ndarray") -> tuple[list[int], list[int]]:
        """The rating and the quality: the likeliest of each, outermost the rating."""
        text = self._text
        front: list[int] = []
        back: list[int] = []
        if text.use_rating_tags or text.use_rating_tags_as_last_tag:
            (front if text.use_rating_tags else back).append(self._likeliest(RATING, confidences_T))
        if text.use_quality_tags or text.use_quality_tags_as_last_tag:
            (front if text.use_quality_tags else back).append(self._likeliest(QUALITY, confidences_T))
        return front, back[::-1]

    def _above(self, category: str, confidences_T: "np.ndarray") -> list[int]:
        places = self._groups[category]
        return places[confidences_T[places] >= self._thresholds[category]].tolist()

    def _likeliest(self, category: str, confidences_T: "np.ndarray") -> int:
        places = self._groups[category]
        return int(places[confidences_T[places].argmax()])

    def _check_known(self, category: str, *switches: str) -> None:
        for switch in switches:
            if getattr(self._text, switch) and not len(self._groups[category]):
                raise BadOption(switch, f"--{switch}: this tagger knows no {category} tags. Leave the option out.")

    def _write(self, name: str, category: str) -> tuple[str, ...]:
        """What is written for a tag: nothing, itself, or several tags."""
        parts = expanded(name) if category == CHARACTER and self._text.character_tag_expand else (name,)
        if self._spelled(name) in self._undesired:
            return ()
        if self._spelled(name) in self._replacements:
            parts = (self._replacements[self._spelled(name)],)
        else:
            spelled = [self._spelled(part) for part in parts]
            parts = tuple(self._replacements.get(part, part) for part in spelled)
        return tuple(part for part in parts if part not in self._undesired)

    def _spelled(self, tag: str) -> str:
        return without_underscores(tag) if self._text.remove_underscore else tag

    def _either_spelling(self, tags: str) -> dict[str, None]:
        """A list of tags, in its order: with underscores removed, "long_hair" means "long hair" too."""
        listed = [tag.strip() for tag in tags.split(",") if tag.strip()]
        return dict.fromkeys(spelling for tag in listed for spelling in (tag, self._spelled(tag)))

    def _read_replacements(self, text: str) -> dict[str, str]:
        pairs = read_replacements(text)
        return pairs | {self._spelled(source): target for source, target in pairs.items()}


def expanded(tag: str) -> tuple[str, ...]:
    """The name and the series of "name_(series)"; "name_(costume)_(series)" keeps its costume in the name."""
    found = re.fullmatch(r"(.+?)_?\(([^()]+)\)", tag)
    return (found[1], found[2]) if found else (tag,)


def without_underscores(tag: str) -> str:
    """A tag with spaces; three characters or fewer are an emoticon."""
    return tag.replace("_", " ") if len(tag) > EMOTICON_LENGTH else tag


def read_replacements(text: str) -> dict[str, str]:
    """{tag: what is written for it} from "tag1,tag2;tag3,tag4", where a backslash keeps , and ; as they are.

    Errors: BadOption.
    """
    pairs = {}
    for piece in filter(None, _split(text, ";")):
        names = [re.sub(r"\\([,;])", r"\1", name).strip() for name in _split(piece, ",")]
        if len(names) != 2 or not all(names):
            raise BadOption("tag_replacement", f'--tag_replacement "{piece}": write pairs, as in tag1,tag2;tag3,tag4.')
        pairs[names[0]] = names[1]
    return pairs


def _split(text: str, separator: str) -> list[str]:
    return re.split(rf"(?<!\\){separator}", text.strip())


def split_tags(text: str, separator: str) -> list[str]:
    """The tags of a text that `separator` joined, without the spaces around them; spaces alone split at spaces."""
    mark = separator.strip()
    return [tag.strip() for line in text.splitlines() for tag in line.split(mark or None) if tag.strip()]


def joined_once(old: list[str], new: list[str]) -> list[str]:
    """Old tags, then the new ones that are not among them."""
    return list(dict.fromkeys([*old, *new]))
