"""Pictures and the texts beside them: found, filtered, edited, saved; nothing that others wrote is lost."""

import json
import os
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from kohya_gui.dataset import scan as scanning
from kohya_gui.dataset.albums import Albums
from kohya_gui.dataset.backups import KEPT_DAYS, Backups
from kohya_gui.dataset.bucketing import bucket_name, fit_of, rules_of
from kohya_gui.dataset.change import Change
from kohya_gui.dataset.thumbnails import SIDE_PX, Thumbnails
from kohya_gui.files import Roots
from kohya_gui.project import Project
from sd_scripts.library.data.buckets import BucketRules
from sd_scripts.library.data.images import UnreadableImage, open_image
from tests.data.bad_pictures import write_named
from tests.gui_server.test_server import client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures: odd ones have tags, all but the first two a caption."""
    folder = tmp_path / "home" / "meadow"
    folder.mkdir(parents=True)
    for i in range(12):
        Image.new("RGB", (96, 64) if i % 3 else (64, 96), (20 * i, 90, 200)).save(folder / f"p{i}.png")
        if i > 1:
            (folder / f"p{i}.caption").write_text(f"picture {i} of a meadow\n")
        if i % 2:
            (folder / f"p{i}.txt").write_text(f"sky, tree, number {i}\n")
    return folder


def wait(studio, album: str) -> dict:
    deadline = time.monotonic() + 30
    while (state := studio.dataset_state(album))["busy"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return state


def opened(studio, *paths: Path, **more) -> str:
    answer = studio.dataset_open([str(path) for path in paths], **more)
    assert "error" not in answer, answer
    assert wait(studio, answer["album"])["last"]["trouble"] == ""
    return answer["album"]


def rows(studio, album: str, **query) -> list[dict]:
    found = studio.dataset_find(album, query)
    assert "error" not in found, found
    return studio.dataset_rows(album, found["view"], 0, 500)["rows"]


def names(studio, album: str, **query) -> list[str]:
    return [row["name"].split(".")[0] for row in rows(studio, album, **query)]


def id_of(studio, album: str, name: str) -> int:
    return next(row["id"] for row in rows(studio, album) if row["name"].startswith(name))


def save(studio, album: str) -> dict:
    answer = studio.dataset_save(album)
    assert "error" not in answer, answer
    return wait(studio, album)["last"]


def test_pictures_stand_in_the_order_in_which_people_count(studio, folder):
    album = opened(studio, folder)
    assert names(studio, album) == [f"p{i}" for i in range(12)]
    assert names(studio, album, descending=True)[0] == "p11"
    first = rows(studio, album)[1]
    assert first["size"] == [96, 64]
    assert first["texts"]["caption"] == {"text": "", "state": "absent", "why": ""}
    assert first["texts"]["tags"]["text"] == "sky, tree, number 1"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"show": "no_caption"}, [0, 1]),
        ({"show": "no_tags"}, [0, 2, 4, 6, 8, 10]),
        ({"show": "no_text"}, [0]),
        ({"text": "PICTURE 1"}, [10, 11]),
        ({"text": "p7.png"}, [7]),
        ({"tags": ["sky", "number 3"]}, [3]),
        ({"without": ["sky"], "show": "no_caption"}, [0]),
        ({"min_px": 64, "max_px": 64, "text": "number 5"}, [5]),
        ({"min_px": 65}, []),
        ({"sort": "aspect", "text": "picture 1"}, [10, 11]),
        ({"sort": "tags", "descending": True, "tags": ["sky"], "without": ["number 1", "number 3"]}, [11, 9, 7, 5]),
    ],
)
def test_a_query_chooses_pictures(studio, folder, query, expected):
    assert names(studio, opened(studio, folder), **query) == [f"p{i}" for i in expected]


def test_a_choice_stays_while_its_texts_are_edited_and_is_read_in_pages(studio, folder):
    album = opened(studio, folder)
    found = studio.dataset_find(album, {"show": "no_caption"})
    first = studio.dataset_rows(album, found["view"])["rows"][0]["id"]
    studio.dataset_edit(album, first, "caption", "now it has one")
    kept = studio.dataset_rows(album, found["view"])["rows"]
    assert [row["texts"]["caption"]["state"] for row in kept] == ["unsaved", "absent"]
    assert names(studio, album, show="no_caption") == ["p1"]
    view = studio.dataset_find(album, {})["view"]
    assert [row["id"] for row in studio.dataset_rows(album, view, 10, 5)["rows"]] == studio.dataset_ids(
        album, view, 10, 14
    )["ids"]
    assert len(studio.dataset_ids(album, view, 2, 4)["ids"]) == 3


def test_tags_are_counted_with_unsaved_edits(studio, folder):
    album = opened(studio, folder)
    view = studio.dataset_find(album, {})["view"]
    assert studio.dataset_tags(album, view, limit=2)["tags"] == [["sky", 6], ["tree", 6]]
    studio.dataset_edit(album, id_of(studio, album, "p1."), "tags", "sky, sea, sea")
    assert studio.dataset_tags(album, view, "SEA") == {"tags": [["sea", 1]], "all": 1}
    assert studio.dataset_tags(album, view, limit=1)["tags"] == [["sky", 6]]


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ({"kind": "add", "text": "sks, sky", "at": "start"}, "sky, sea", "sks, sky, sea"),
        ({"kind": "add", "text": "sks"}, "", "sks"),
        ({"kind": "add", "text": "sky"}, "sky,sea", "sky,sea"),
        ({"kind": "add", "text": "x"}, "a, b\nc", "a, b, x\nc, x"),
        ({"kind": "remove", "find": "sky, tree"}, "a, sky, b", "a, b"),
        ({"kind": "remove", "find": "sk"}, "sky", "sky"),
        ({"kind": "replace", "find": "blue sky", "text": "sky, blue"}, "a, blue sky, sky, b", "a, sky, blue, b"),
        ({"kind": "replace", "find": "a, b", "text": "c"}, "x, b, y, a", "x, c, y"),
        ({"kind": "replace", "find": "a, b", "text": "c"}, "x, b, y", "x, b, y"),
        ({"kind": "replace", "unit": "text", "find": "cat", "text": "dog"}, "a cat, cats", "a dog, dogs"),
        ({"kind": "replace", "unit": "text", "find": "cat"}, "", ""),
        ({"kind": "add", "unit": "text", "text": "one ", "at": "start"}, "cat\ndog", "one cat\none dog"),
        ({"kind": "add", "unit": "text", "text": ", indoors"}, "a cat", "a cat, indoors"),
        ({"kind": "remove", "unit": "text", "find": " of a cat"}, "picture of a cat", "picture"),
    ],
)  # fmt: skip
def test_a_change_makes_the_next_text(change, before, after):
    assert Change.from_json(change).applied(before) == after


def test_a_change_is_shown_made_and_taken_back(studio, folder):
    album = opened(studio, folder)
    ids = [row["id"] for row in rows(studio, album)]
    change = {"kind": "replace", "find": "sky", "text": "heaven"}
    shown = studio.dataset_change(album, ids, change)
    assert (shown["changed"], shown["unchanged"], shown["skipped"]) == (6, 6, 0)
    assert shown["samples"][0] == {"name": "p1.png", "before": "sky, tree, number 1", "after": "heaven, tree, number 1"}
    assert shown["state"]["unsaved"] == 0
    assert studio.dataset_change(album, ids, change, apply=True)["state"]["unsaved"] == 6
    undone = studio.dataset_undo(album)
    assert (undone["n"], undone["state"]["unsaved"], undone["state"]["redo"]) == (6, 0, True)
    assert studio.dataset_undo(album, redo=True)["state"]["unsaved"] == 6
    assert (folder / "p1.txt").read_text() == "sky, tree, number 1\n"


def test_typing_is_one_step_back(studio, folder):
    album = opened(studio, folder)
    id = id_of(studio, album, "p3.")
    for text in ("a", "ab", "abc"):
        studio.dataset_edit(album, id, "caption", text)
    studio.dataset_edit(album, id, "tags", "one")
    studio.dataset_undo(album)
    assert studio.dataset_picture(album, id)["texts"]["caption"]["text"] == "abc"
    assert studio.dataset_undo(album)["state"]["unsaved"] == 0
    assert studio.dataset_picture(album, id)["texts"]["caption"]["text"] == "picture 3 of a meadow"


def test_saving_writes_whole_files_and_keeps_what_was_there(studio, folder):
    album = opened(studio, folder)
    (folder / "p2.caption").write_bytes("夜の海\r\n".encode("cp932"))
    album = opened(studio, folder)
    night, bare = id_of(studio, album, "p2."), id_of(studio, album, "p0.")
    assert studio.dataset_picture(album, night)["texts"]["caption"]["text"] == "夜の海"
    assert "cp932" in studio.dataset_picture(album, night)["texts"]["caption"]["why"]
    studio.dataset_edit(album, night, "caption", "夜の海と花火 ")
    studio.dataset_edit(album, bare, "caption", "now it has one")
    assert save(studio, album) == {
        "what": "save", "trouble": "", "saved": 2, "conflicts": 0, "failed": [], "failures": 0,
    }  # fmt: skip
    assert (folder / "p2.caption").read_bytes() == "夜の海と花火\n".encode()
    assert (folder / "p0.caption").read_text() == "now it has one\n"
    assert sorted(p.name for p in folder.iterdir() if ".part" in p.name) == []
    kept = studio.dataset_backups(album)
    [backup] = kept["backups"]
    assert backup["files"] == 2 and backup["folders"] == [str(folder)]
    copies = list((Path(kept["folder"]) / backup["id"]).glob("*.caption"))
    assert [copy.read_bytes() for copy in copies] == ["夜の海\r\n".encode("cp932")]
    assert studio.dataset_restore(album, backup["id"])["restored"] == 2
    assert save(studio, album)["saved"] == 2
    assert (folder / "p2.caption").read_text(encoding="utf-8") == "夜の海\n"
    assert (folder / "p0.caption").read_text() == ""
    assert names(studio, album, show="no_caption") == ["p0", "p1"]


def test_after_saving_undo_gives_the_older_text_as_an_edit(studio, folder):
    album = opened(studio, folder)
    id = id_of(studio, album, "p4.")
    studio.dataset_edit(album, id, "caption", "another")
    save(studio, album)
    assert studio.dataset_undo(album)["state"]["unsaved"] == 1
    save(studio, album)
    assert (folder / "p4.caption").read_text() == "picture 4 of a meadow\n"


def test_what_others_wrote_meanwhile_is_not_overwritten(studio, folder):
    album = opened(studio, folder)
    mine, theirs, fine = (id_of(studio, album, f"p{i}.") for i in (5, 6, 7))
    for id in (mine, theirs, fine):
        studio.dataset_edit(album, id, "caption", f"edited {id}")
    (folder / "p5.caption").write_text("from elsewhere")
    (folder / "p6.caption").unlink()
    done = save(studio, album)
    assert (done["saved"], done["conflicts"]) == (1, 2)
    assert (folder / "p5.caption").read_text() == "from elsewhere"
    assert not (folder / "p6.caption").exists()
    assert names(studio, album, show="conflict") == ["p5", "p6"]
    shown = studio.dataset_picture(album, mine)["texts"]["caption"]
    assert (shown["text"], shown["theirs"], shown["state"]) == (f"edited {mine}", "from elsewhere", "conflict")
    studio.dataset_settle(album, mine, "caption", mine=True)
    assert studio.dataset_settle(album, theirs, "caption", mine=False)["conflicts"] == 0
    assert save(studio, album)["saved"] == 1
    assert (folder / "p5.caption").read_text() == f"edited {mine}\n"
    assert not (folder / "p6.caption").exists()


def test_reading_again_finds_what_is_new_gone_or_changed_and_keeps_edits(studio, folder):
    album = opened(studio, folder)
    edited = id_of(studio, album, "p8.")
    studio.dataset_edit(album, edited, "caption", "edited")
    (folder / "p9.caption").write_text("changed by a run")
    (folder / "p3.png").unlink()
    Image.new("RGB", (40, 40)).save(folder / "p12.png")
    Image.new("RGB", (200, 40)).save(folder / "p10.png")
    (folder / "p8.caption").write_text("edited")
    assert opened(studio, folder) == album
    assert names(studio, album) == [f"p{i}" for i in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12)]
    found = {row["name"]: row for row in rows(studio, album)}
    assert found["p8.png"]["id"] == edited
    assert found["p8.png"]["texts"]["caption"]["state"] == "", "someone else wrote the same"
    assert found["p9.png"]["texts"]["caption"]["text"] == "changed by a run"
    assert found["p10.png"]["size"] == [200, 40]


def test_a_picture_that_is_broken_says_why_and_a_text_that_cannot_be_read_is_left_alone(studio, folder):
    (folder / "p4.png").write_bytes(b"no picture")
    (folder / "p5.png").write_bytes((folder / "p5.png").read_bytes()[:70])
    (folder / "p6.caption").write_bytes(b"\x81\xff\xfe\x00\xff")
    with (folder / "p7.caption").open("wb") as file:
        file.truncate(2_000_000)
    album = opened(studio, folder)
    assert names(studio, album, show="broken") == ["p4"]
    assert "not a picture" in rows(studio, album, show="broken")[0]["broken"]
    with pytest.raises(UnreadableImage):
        studio.thumbnails.get(folder / "p5.png")
    assert names(studio, album, show="broken") == ["p4", "p5"], "known once it was to be shown"
    assert names(studio, album, show="unreadable") == ["p6", "p7"]
    unread = rows(studio, album, show="unreadable")
    assert "no known encoding" in unread[0]["texts"]["caption"]["why"]
    assert "1 MB" in unread[1]["texts"]["caption"]["why"]
    assert studio.dataset_edit(album, unread[0]["id"], "caption", "x")["field"] == "text"
    ids = [row["id"] for row in rows(studio, album)]
    shown = studio.dataset_change(album, ids, {"kind": "add", "text": "x", "slot": "caption", "unit": "text"})
    assert (shown["changed"], shown["skipped"]) == (10, 2)


def test_pictures_and_texts_outside_the_roots_are_neither_read_nor_written(studio, folder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    (folder / "p0.txt").symlink_to(secret)
    (folder / "out.png").symlink_to(tmp_path / "outside.png")
    album = opened(studio, folder)
    assert "secret" not in json.dumps(rows(studio, album))
    assert "outside" in next(row for row in rows(studio, album) if row["name"] == "out.png")["broken"]
    assert studio.dataset_edit(album, id_of(studio, album, "p0."), "tags", "x")["field"] == "text"
    assert studio.dataset_open([str(tmp_path)])["field"] == "paths"
    page, locked, picture = client(studio), client(studio, login=("me", "pw")), {"path": str(folder / "p0.png")}
    assert page.get("/thumbnail", params={"path": str(folder / "out.png")}).status_code == 403
    assert page.get("/thumbnail", params={"path": str(folder / "p0.txt")}).status_code == 403
    assert page.get("/thumbnail", params=picture).headers["content-type"] == "image/jpeg"
    assert locked.get("/thumbnail", params=picture).status_code == 401


def test_a_text_that_is_a_link_within_the_roots_stays_one(studio, folder):
    (folder / "shared").write_text("shared text")
    (folder / "p0.caption").symlink_to(folder / "shared")
    album = opened(studio, folder)
    studio.dataset_edit(album, id_of(studio, album, "p0."), "caption", "shared and edited")
    save(studio, album)
    assert (folder / "p0.caption").is_symlink() and (folder / "shared").read_text() == "shared and edited\n"


def test_endings_are_chosen_and_two_pictures_may_share_a_text(studio, folder):
    Image.new("RGB", (8, 8)).save(folder / "p3.jpg")
    album = opened(studio, folder, caption_extension="txt", tags_extension="")
    assert [row["texts"]["tags"]["state"] for row in rows(studio, album)] == ["none"] * 13
    assert studio.dataset_tags(album, studio.dataset_find(album, {})["view"], limit=1)["tags"] == [["sky", 7]]
    studio.dataset_edit(album, id_of(studio, album, "p3.png"), "caption", "shared")
    assert [row["texts"]["caption"]["text"] for row in rows(studio, album, text="p3.")] == ["shared", "shared"]
    twins = [row["id"] for row in rows(studio, album, text="p3.")]
    assert studio.dataset_change(album, twins, {"kind": "add", "text": "x", "slot": "caption"})["changed"] == 1
    for endings in ((".png", ".txt"), (".txt", ".txt"), ("", "")):
        assert studio.dataset_open([str(folder)], *endings)["field"] in ("caption_extension", "tags_extension")


def test_folders_below_and_several_folders(studio, folder):
    below = folder.parent / "more" / "deep"
    below.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(below / "d.png")
    assert "subfolders hold 1" in studio.dataset_open([str(below.parent)])["error"]
    assert names(studio, opened(studio, below.parent, recursive=True)) == [str(Path("deep", "d"))]
    both = opened(studio, folder, below)
    assert len(rows(studio, both)) == 13
    assert rows(studio, both, text="deep")[0]["name"] == str(Path("deep", "d.png"))


def test_the_pictures_of_a_metadata_file(studio, folder):
    work = folder.parent / "work"
    work.mkdir()
    entries = {"p2": {}, str(folder / "p3.png"): {}, "gone": {}, "/etc/hostname": {}}
    (work / "meta_cap.json").write_text(json.dumps(entries))
    project = Project("meadow", [str(folder)], "", str(work), "meadow")
    studio.project_save(project.as_json())
    sources = studio.dataset_sources("meadow")["sources"]
    assert [source["kind"] for source in sources] == ["folder", "metadata"]
    album = opened(studio, Path(sources[1]["paths"][0]), project="meadow")
    found = {row["name"]: row for row in rows(studio, album)}
    assert found["p2"]["texts"]["caption"]["text"] == "picture 2 of a meadow"
    assert found[str(folder / "p3.png")]["size"] == [64, 96]
    assert "no picture of this name" in found["gone"]["broken"]
    assert found["/etc/hostname"]["broken"] == found["gone"]["broken"]
    assert studio.dataset_edit(album, found["gone"]["id"], "caption", "x")["field"] == "text"


def test_buckets_are_those_of_the_latents_stage(studio, folder):
    Image.new("RGB", (700, 512)).save(folder / "wide.png")
    Image.new("RGB", (20, 512)).save(folder / "narrow.png")
    album = opened(studio, folder)
    values = {"max_resolution": "512,512", "min_bucket_reso": "256", "bucket_reso_steps": "64"}
    chart = studio.dataset_buckets(album, values)
    rules = BucketRules((512, 512))
    expected = {bucket_name(rules.fit(tuple(row["size"])).bucket_px) for row in rows(studio, album)}
    assert {row["bucket"] for row in chart["rows"]} == expected
    assert sum(row["images"] for row in chart["rows"]) == 14
    assert sum(row["enlarged"] for row in chart["rows"]) == 13
    portrait = bucket_name(rules.fit((64, 96)).bucket_px)
    assert names(studio, album, bucket=portrait, values=values) == ["p0", "p3", "p6", "p9"]
    never = values | {"bucket_no_upscale": True}
    assert studio.dataset_buckets(album, never)["too_small"] == 1
    assert names(studio, album, show="too_small", values=never) == ["narrow"]
    assert names(studio, album, show="enlarged", values=never) == []
    assert "narrow" in names(studio, album, show="cropped", values=values)
    shown = studio.dataset_picture(album, id_of(studio, album, "wide"), values)["fit"]
    picture = studio._albums.get(album).pictures[id_of(studio, album, "wide")]
    fit = fit_of(picture, rules_of(values))
    assert shown == {"bucket": fit.bucket, "scale": round(fit.scale, 3), "cut": round(fit.cut, 4)}
    assert studio.dataset_buckets(album, {"max_resolution": "500,500"})["field"] == "max_resolution"
    assert studio.dataset_buckets(album, {"min_bucket_reso": "abc"})["field"] == "min_bucket_reso"


def test_wrong_questions_are_answered_with_a_sentence(studio, folder):
    album = opened(studio, folder)
    for query in ({"show": "nonsense"}, {"sort": 3}, {"nonsense": 1}, {"tags": "sky"}):
        assert studio.dataset_find(album, query)["field"] == "query"
    assert studio.dataset_rows(album, 99)["field"] == "view"
    assert studio.dataset_state("nonsense")["field"] == "album"
    assert studio.dataset_edit(album, 99, "caption", "x")["field"] == "id"
    assert studio.dataset_edit(album, 0, "title", "x")["field"] == "slot"
    assert studio.dataset_change(album, [0], {"kind": "add", "text": " , "})["field"] == "text"
    assert studio.dataset_change(album, [0], {"kind": "remove"})["field"] == "find"
    assert studio.dataset_change(album, [0], {"kind": "burn"})["field"] == "change"
    assert studio.dataset_restore(album, "../runs")["field"] == "backup"
    assert studio.dataset_open([str(folder / "nowhere")])["field"] == "paths"


def test_more_pictures_than_fit_are_told(studio, folder, monkeypatch):
    monkeypatch.setattr(scanning, "MOST_PICTURES", 5)
    album = opened(studio, folder)
    assert len(rows(studio, album)) == 5
    assert studio.dataset_state(album)["cut_off"] == 7


def test_thumbnails_are_small_upright_kept_and_bounded(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    odd = [*write_named(pictures), pictures / "large.jpg"]
    Image.new("RGB", (2400, 1600), (200, 30, 60)).save(odd[-1])
    thumbnails = Thumbnails(tmp_path / "thumbnails", most_bytes=200_000)
    shown = 0
    for path in odd:
        try:
            whole = open_image(path)
        except UnreadableImage:
            with pytest.raises(UnreadableImage):
                thumbnails.get(path)
            continue
        with Image.open(BytesIO(thumbnails.get(path))) as small:
            whole.thumbnail((SIDE_PX, SIDE_PX))
            assert small.size == whole.size and small.mode == "RGB", path
        shown += 1
    assert shown > 5
    kept = lambda: [p for p in (tmp_path / "thumbnails").rglob("*") if p.is_file()]  # noqa: E731
    place = thumbnails._place(odd[-1])
    place.write_bytes(b"from the cache\xff\xd9")
    assert thumbnails.get(odd[-1]) == b"from the cache\xff\xd9"
    os.utime(odd[-1], (1, 1))
    assert thumbnails.get(odd[-1]) != b"from the cache\xff\xd9", "a changed picture has another thumbnail"
    for i in range(20):
        Image.effect_noise((200, 200), 90).convert("RGB").save(pictures / f"n{i}.png")
        thumbnails.get(pictures / f"n{i}.png")
    assert 0 < sum(path.stat().st_size for path in kept()) <= 200_000


def test_old_backups_are_forgotten_and_what_is_none_is_left_out(tmp_path):
    backups = Backups(tmp_path / "backups")
    with backups.making() as first:
        first.keep("/pictures/a.txt", b"old")
    with backups.making() as nothing:
        pass
    assert nothing.files == []
    [kept] = backups.all()
    about = tmp_path / "backups" / kept.id / "backup.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"time": time.time() - (KEPT_DAYS + 1) * 86_400}))
    (tmp_path / "backups" / "mine").mkdir()
    (tmp_path / "backups" / "mine" / "backup.json").write_text("{}")
    with backups.making() as second:
        second.keep("/pictures/b.txt", None)
    assert [set(backups.files(backup.id)) for backup in backups.all()] == [{"/pictures/b.txt"}]
    assert (tmp_path / "backups" / "mine").is_dir()


def test_albums_with_edits_stay_open_others_make_room(studio, folder):
    assert isinstance(studio._albums, Albums) and isinstance(studio.roots, Roots)
    edited = opened(studio, folder)
    studio.dataset_edit(edited, 0, "caption", "edited")
    others = [opened(studio, folder, tags_extension=f".t{i}.txt") for i in range(6)]
    assert studio.dataset_state(edited)["unsaved"] == 1
    assert studio.dataset_state(others[0])["field"] == "album"
    assert studio.dataset_state(others[-1])["pictures"] == 12


def test_what_cannot_be_kept_first_is_not_written(studio, folder):
    album = opened(studio, folder)
    studio._backups.folder.parent.mkdir(exist_ok=True)
    studio._backups.folder.write_text("a file stands where the backups go")
    studio.dataset_edit(album, 2, "caption", "edited")
    assert "Cannot write" in save(studio, album)["trouble"]
    assert (folder / "p2.caption").read_text() == "picture 2 of a meadow\n"
    assert studio.dataset_state(album)["unsaved"] == 1
