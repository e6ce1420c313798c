"""Nothing typed is lost or lands in another file: other windows, other programs, odd names, folders that go."""

import shutil

from PIL import Image

from tests.gui_server.test_dataset import folder, id_of, opened, rows, save

__all__ = ["folder"]


def test_what_an_older_window_knows_of_an_album_is_not_taken_for_the_album_opened_anew(studio, folder):
    first = opened(studio, folder)
    id = id_of(studio, first, "p4.")
    for i in range(6):
        opened(studio, folder, tags_extension=f".t{i}.txt")
    # A picture that stands before the others: the numbers of all others are new ones.
    Image.new("RGB", (96, 64)).save(folder / "a.png")
    again = opened(studio, folder)
    assert id_of(studio, again, "p4.") != id
    assert studio.dataset_edit(first, id, "caption", "for the fourth")["field"] == "album"
    assert studio.dataset_state(again)["unsaved"] == 0
    assert opened(studio, folder) == again


def test_a_name_as_long_as_names_can_be_is_kept_and_saved(studio, folder):
    name = "長" * 82
    Image.new("RGB", (96, 64)).save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text("before")
    album = opened(studio, folder)
    studio.dataset_edit(album, id_of(studio, album, name), "tags", "after")
    studio.dataset_edit(album, id_of(studio, album, "p4."), "caption", "another")
    assert save(studio, album)["saved"] == 2
    assert (folder / f"{name}.txt").read_text() == "after\n"
    backup = studio.dataset_backups(album)["backups"][0]["id"]
    assert studio.dataset_restore(album, backup)["restored"] == 2
    save(studio, album)
    assert (folder / f"{name}.txt").read_text() == "before\n"


def test_going_back_leaves_alone_what_others_wrote_after_the_edit(studio, folder):
    album = opened(studio, folder)
    ids = [id_of(studio, album, f"p{i}.") for i in (5, 6)]
    change = {"kind": "add", "slot": "caption", "unit": "text", "text": " at noon"}
    assert studio.dataset_change(album, ids, change, apply=True)["changed"] == 2
    assert save(studio, album)["saved"] == 2
    (folder / "p5.caption").write_text("from elsewhere")
    opened(studio, folder)
    assert studio.dataset_undo(album)["n"] == 1
    assert save(studio, album)["saved"] == 1
    assert (folder / "p5.caption").read_text() == "from elsewhere"
    assert (folder / "p6.caption").read_text() == "picture 6 of a meadow\n"


def test_going_back_to_before_a_conflict_ends_it(studio, folder):
    album = opened(studio, folder)
    id = id_of(studio, album, "p5.")
    studio.dataset_edit(album, id, "caption", "mine")
    (folder / "p5.caption").write_text("from elsewhere")
    assert save(studio, album)["conflicts"] == 1
    studio.dataset_edit(album, id, "caption", "picture 5 of a meadow")
    state = studio.dataset_state(album)
    assert (state["unsaved"], state["conflicts"]) == (0, 0)
    text = next(row for row in rows(studio, album) if row["id"] == id)["texts"]["caption"]
    assert text["text"] == "from elsewhere"


def test_a_folder_that_is_gone_is_not_made_again_by_saving(studio, folder):
    album = opened(studio, folder)
    studio.dataset_edit(album, id_of(studio, album, "p0."), "caption", "mine")
    elsewhere = folder.with_name("elsewhere")
    shutil.move(folder, elsewhere)
    done = save(studio, album)
    assert (done["saved"], done["failures"]) == (0, 1)
    assert str(folder) in done["failed"][0][1]
    assert not folder.exists()
    shutil.move(elsewhere, folder)
    assert save(studio, album)["saved"] == 1
