"""What the page can ask about pictures and the texts beside them: one album at a time, page by page."""

from dataclasses import asdict

from kohya_gui.arguments import Json, Values
from kohya_gui.dataset.album import SLOTS, Album
from kohya_gui.dataset.albums import Albums, described, project_sources
from kohya_gui.dataset.backups import Backups
from kohya_gui.dataset.bucketing import bucket_chart, rules_of
from kohya_gui.dataset.change import Change
from kohya_gui.dataset.query import Query, find, tag_counts
from kohya_gui.dataset.rows import row, whole
from kohya_gui.dataset.saving import restore, save
from kohya_gui.dataset.texts import NO_FILE
from kohya_gui.dataset.thumbnails import Thumbnails
from kohya_gui.endpoint import endpoint
from kohya_gui.files import Roots
from kohya_gui.project import Project, ProjectStore
from kohya_gui.words import refusal

MOST_ROWS = 500
MOST_TAGS = 300
SAMPLES = 5


class DatasetEndpoints:
    """The part of the studio that has to do with pictures."""

    roots: Roots
    thumbnails: Thumbnails
    _projects: ProjectStore
    _albums: Albums
    _backups: Backups

    @endpoint
    def dataset_sources(self, project: str) -> Json:
        """What a project offers to look at, best first: kind (all, folder, metadata) and paths."""
        return {"sources": project_sources(self._projects.get(project))}

    @endpoint
    def dataset_open(
        self,
        paths: list[str],
        caption_extension: str = ".caption",
        tags_extension: str = ".txt",
        recursive: bool = False,
        project: str | None = None,
    ) -> Json:
        """Opens the pictures of folders, or those that a metadata file names; an open album is read anew.

        Sizes and texts are read in the background: `dataset_state` tells how far it is.
        """
        known = {one.name: one for one in self._projects.all()}
        folders = known.get(project or "", Project()).pictures
        source = self._albums.source(paths, (caption_extension, tags_extension), recursive, folders)
        return described(self._albums.open(source))

    @endpoint
    def dataset_state(self, album: str) -> Json:
        """How an album is: what goes on, how many pictures and unsaved edits, whether there is something to undo."""
        return described(self._albums.get(album))

    @endpoint
    def dataset_find(self, album: str, query: Json) -> Json:
        """Chooses pictures by a query. The choice is kept as a view, whose pictures are read page by page."""
        asked, chosen = Query.from_json(query), self._albums.get(album)
        with chosen.lock:
            ids = find(chosen, asked)
            return {"view": chosen.keep_view(ids), "total": len(ids), "version": chosen.version}

    @endpoint
    def dataset_rows(self, album: str, view: int, offset: int = 0, limit: int = 100) -> Json:
        """Some pictures of a view, with their texts."""
        chosen = self._albums.get(album)
        with chosen.lock:
            ids = chosen.view(view)[max(0, offset) :][: max(0, min(limit, MOST_ROWS))]
            return {"rows": [row(chosen, id) for id in ids], "offset": offset, "version": chosen.version}

    @endpoint
    def dataset_ids(self, album: str, view: int, first: int = 0, last: int | None = None) -> Json:
        """The numbers of the pictures of a view, from one place to another, both included."""
        chosen = self._albums.get(album)
        with chosen.lock:
            return {"ids": chosen.view(view)[max(0, first) : None if last is None else last + 1]}

    @endpoint
    def dataset_tags(self, album: str, view: int, holding: str = "", limit: int = 100) -> Json:
        """How many pictures of a view have each tag, the most frequent first."""
        chosen = self._albums.get(album)
        with chosen.lock:
            return tag_counts(chosen, chosen.view(view), holding, max(0, min(limit, MOST_TAGS)))

    @endpoint
    def dataset_buckets(self, album: str, values: Values) -> Json:
        """The buckets that these values of the Latents form would give for the album's pictures."""
        chosen, rules = self._albums.get(album), rules_of(values)
        with chosen.lock:
            return bucket_chart(chosen, rules)

    @endpoint
    def dataset_picture(self, album: str, id: int, values: Values | None = None) -> Json:
        """One picture with all its text, its bucket by the Latents form's values, and what others wrote meanwhile."""
        chosen = self._albums.get(album)
        with chosen.lock:
            chosen.picture(id)
            return whole(chosen, id, None if values is None else rules_of(values))

    @endpoint
    def dataset_edit(self, album: str, id: int, slot: str, text: str) -> Json:
        """Gives a picture another caption or other tags, unsaved."""
        chosen = self._albums.get(album)
        with chosen.lock:
            chosen.edit({_text_place(chosen, id, slot): text}, typing=True)
        return described(chosen)

    @endpoint
    def dataset_change(self, album: str, ids: list[int], change: Json, apply: bool = False) -> Json:
        """What a change of many texts would do, and after that it is done, unsaved, when asked to `apply`.

        `changed` files of so many; `samples`: the first of them, before and after.
        """
        wanted, chosen = Change.from_json(change), self._albums.get(album)
        with chosen.lock:
            names, skipped = _places(chosen, ids, SLOTS.index(wanted.slot))
            after = {place: wanted.applied(chosen.text(place)) for place in names}
            changed = {place: text for place, text in after.items() if text != chosen.text(place)}
            samples = [
                {"name": names[place], "before": chosen.text(place), "after": text}
                for place, text in list(changed.items())[:SAMPLES]
            ]
            if apply:
                chosen.edit(changed)
        counts = {"changed": len(changed), "unchanged": len(names) - len(changed), "skipped": skipped}
        return {**counts, "samples": samples, "state": described(chosen)}

    @endpoint
    def dataset_undo(self, album: str, redo: bool = False) -> Json:
        """Takes the last edit back, or does it again. After saving, the older text is an unsaved edit."""
        chosen = self._albums.get(album)
        with chosen.lock:
            places = set(chosen.redo() if redo else chosen.undo())
            ids = [id for id in chosen.alive() if places.intersection(chosen.pictures[id].texts)]
        return {"ids": ids[:MOST_ROWS], "n": len(ids), "state": described(chosen)}

    @endpoint
    def dataset_drop(self, album: str, ids: list[int] | None = None) -> Json:
        """Leaves unsaved edits away, of some pictures or of all; that too can be undone."""
        chosen = self._albums.get(album)
        with chosen.lock:
            chosen.drop(_edited(chosen, ids))
        return described(chosen)

    @endpoint
    def dataset_settle(self, album: str, id: int, slot: str, mine: bool) -> Json:
        """Decides for a text that others changed meanwhile: for the edit, which is then saved, or for theirs."""
        chosen = self._albums.get(album)
        with chosen.lock:
            chosen.settle(_text_place(chosen, id, slot), mine)
        return described(chosen)

    @endpoint
    def dataset_save(self, album: str, ids: list[int] | None = None) -> Json:
        """Writes unsaved edits, of some pictures or of all, in the background. What the files held is kept.

        Files that others changed meanwhile are not written: they are counted as conflicts.
        """
        chosen = self._albums.get(album)
        with chosen.lock:
            places = _edited(chosen, ids)
        chosen.job.start("save", lambda: save(chosen, self._backups, places))
        return described(chosen)

    @endpoint
    def dataset_backups(self, album: str) -> Json:
        """What files of this album's folders held before they were saved, and where that is kept."""
        folders = self._albums.get(album).source.folders
        kept = [backup for backup in self._backups.all() if any(_lies_in(one, folders) for one in backup.folders)]
        return {"backups": [asdict(backup) for backup in kept[:MOST_ROWS]], "folder": str(self._backups.folder)}

    @endpoint
    def dataset_restore(self, album: str, backup: str) -> Json:
        """Makes what files held before a saving unsaved edits again."""
        chosen = self._albums.get(album)
        return {**restore(chosen, self._backups, backup), "state": described(chosen)}


def _text_place(album: Album, id: int, slot: str) -> str:
    """The text file of a picture. Errors: BadOption, where there is none or it cannot be edited."""
    if slot not in SLOTS:
        raise refusal("slot", "dataset.bad_change", name="slot")
    place = album.picture(id).texts[SLOTS.index(slot)]
    if not place or album.texts.get(place, NO_FILE).trouble:
        raise refusal("text", "dataset.not_editable", name=album.picture(id).name)
    return place


def _places(album: Album, ids: list[int], slot: int) -> tuple[dict[str, str], int]:
    """{text file: its picture's name} of pictures, and how many texts cannot be edited."""
    pictures = [album.picture(id) for id in dict.fromkeys(ids)]
    places = {picture.texts[slot]: picture.name for picture in pictures}
    usable = {place: name for place, name in places.items() if place and not album.texts.get(place, NO_FILE).trouble}
    return usable, len(places) - len(usable)


def _edited(album: Album, ids: list[int] | None) -> list[str]:
    if ids is None:
        return list(album.drafts)
    return [place for id in ids for place in album.picture(id).texts if place in album.drafts]


def _lies_in(folder: str, folders: tuple[str, ...]) -> bool:
    return any(folder == one or folder.startswith((f"{one}/", f"{one}\\")) for one in folders)
