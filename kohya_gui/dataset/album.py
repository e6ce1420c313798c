"""An album: the pictures of folders or of a metadata file, the texts beside them, and edits that are not saved yet."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from kohya_gui.dataset.drafts import Draft, Step, Steps
from kohya_gui.dataset.gate import Gate
from kohya_gui.dataset.job import Job
from kohya_gui.dataset.texts import NO_FILE, TextFile, tidy
from kohya_gui.dataset.thumbnails import Thumbnails
from kohya_gui.found import Stamp
from kohya_gui.words import Reason, refusal
from sd_scripts.library.data.buckets import Size

SLOTS = ("caption", "tags")
MOST_VIEWS = 8


@dataclass(frozen=True)
class Source:
    """Where pictures come from: folders, or one metadata file with the folders its names stand in.

    `endings`: those of the caption and of the tags; an empty one means that there are none.
    """

    folders: tuple[str, ...]
    metadata: str = ""
    endings: tuple[str, str] = (".caption", ".txt")
    recursive: bool = False


@dataclass(slots=True)
class Picture:
    """A picture. `texts`: its text files, one for each slot; `broken`: why it cannot be used."""

    place: str
    name: str
    texts: tuple[str, str]
    stamp: Stamp | None = None
    size_px: Size | None = None
    broken: Reason | None = None
    gone: bool = False


@dataclass
class Album:
    """Whoever reads or changes it holds the `lock`. Pictures keep their places in the list for as long as it lives."""

    id: str
    source: Source
    gate: Gate
    thumbnails: Thumbnails
    lock: threading.RLock = field(default_factory=threading.RLock)
    pictures: list[Picture] = field(default_factory=list)
    texts: dict[str, TextFile] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)
    job: Job = field(default_factory=Job)
    cut_off: int = 0
    version: int = 0
    _views: OrderedDict[int, list[int]] = field(default_factory=OrderedDict)
    _last_view: int = 0

    def alive(self) -> list[int]:
        """The pictures that are there."""
        return [i for i, picture in enumerate(self.pictures) if not picture.gone]

    def picture(self, id: int) -> Picture:
        """A picture. Errors: BadOption."""
        if not 0 <= id < len(self.pictures):
            raise refusal("id", "dataset.no_picture")
        return self.pictures[id]

    def text(self, place: str) -> str:
        """The text of a file as it was edited, or else as it is."""
        draft = self.drafts.get(place)
        return draft.text if draft else self.texts.get(place, NO_FILE).text

    def broken(self, picture: Picture) -> Reason | None:
        """Why a picture cannot be used: its head tells it at once, the rest only when it was to be shown."""
        if picture.broken:
            return picture.broken
        why = self.thumbnails.failure(picture.place, picture.stamp)
        return Reason("dataset.why", {"why": why}) if why else None

    def both_texts(self, picture: Picture) -> tuple[str, str]:
        """Caption and tags of a picture."""
        return self.text(picture.texts[0]), self.text(picture.texts[1])

    def tags_text(self, picture: Picture) -> str:
        """The text whose parts count as tags: the caption, where there are no files of tags."""
        return self.text(picture.texts[1] or picture.texts[0])

    def is_unsaved(self, picture: Picture) -> bool:
        """Whether one of the texts was edited."""
        return any(place in self.drafts for place in picture.texts)

    def in_conflict(self, place: str) -> bool:
        """Whether a file was changed by others after its text was edited here."""
        draft = self.drafts.get(place)
        return draft is not None and draft.base != self.texts.get(place, NO_FILE).text

    def edit(self, wanted: dict[str, str], typing: bool = False) -> None:
        """Gives files other texts, unsaved; one step back undoes it."""
        texts = {place: tidy(text) for place, text in wanted.items()}
        changed = {place: text for place, text in texts.items() if text != self.text(place)}
        if changed:
            self.steps.note({place: self.text(place) for place in changed}, typing)
            self._draft(changed)

    def undo(self) -> list[str]:
        """Takes the last edit back; the files that it changed. After saving too: the older text is then unsaved."""
        return self._go(self.steps.back, self.steps.forth)

    def redo(self) -> list[str]:
        """Does again what was undone."""
        return self._go(self.steps.forth, self.steps.back)

    def drop(self, places: Iterable[str]) -> None:
        """Leaves edits away: the files' own texts count again; this too can be undone."""
        self.edit({place: self.texts.get(place, NO_FILE).text for place in places if place in self.drafts})

    def settle(self, place: str, mine: bool) -> None:
        """Decides a conflict: for the edit, or for what others wrote."""
        text = self.text(place)
        if mine and place in self.drafts:
            self.drafts[place] = Draft(text, self.texts.get(place, NO_FILE).text)
        else:
            self.drop([place])
        self.steps.settle()
        self.version += 1

    def keep_view(self, ids: list[int]) -> int:
        """Keeps a choice of pictures in its order, so that it can be read page by page; its number."""
        self._last_view += 1
        self._views[self._last_view] = ids
        while len(self._views) > MOST_VIEWS:
            self._views.popitem(last=False)
        return self._last_view

    def view(self, number: int) -> list[int]:
        """A choice that was kept. Errors: BadOption, when it is too old."""
        if number not in self._views:
            raise refusal("view", "dataset.view_gone")
        return self._views[number]

    def _draft(self, texts: dict[str, str]) -> None:
        for place, text in texts.items():
            held = self.drafts.get(place)
            base = held.base if held else self.texts.get(place, NO_FILE).text
            self.drafts[place] = Draft(text, base)
            if text == self.texts.get(place, NO_FILE).text:
                del self.drafts[place]
        self.version += 1

    def _go(self, take: deque[Step], give: deque[Step]) -> list[str]:
        if not take:
            return []
        step = take.pop()
        give.append(Step({place: self.text(place) for place in step.before}))
        self._draft(step.before)
        return list(step.before)
