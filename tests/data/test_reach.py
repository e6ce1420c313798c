"""What a run of the page reads for pictures and texts lies below the page's roots, where links lead too."""

import pytest
from PIL import Image

from sd_scripts.library.data.captions import UnreadableText, read_caption
from sd_scripts.library.data.copies import copy_file
from sd_scripts.library.data.images import UnreadableImage, image_size, open_image
from sd_scripts.library.io import reach
from sd_scripts.library.io.reach import ROOTS_VARIABLE, as_variable, is_out_of_reach


@pytest.fixture
def root(tmp_path):
    """A folder with links to a text and two pictures elsewhere, and to a folder; and one within, to what is hidden."""
    (root := tmp_path / "root").mkdir()
    (outside := tmp_path / "outside").mkdir()
    (root / ".keys").mkdir()
    for folder in (root, outside, root / ".keys"):
        (folder / "secret.txt").write_text("a cat")
        for ending in ("png", "jpg"):
            Image.new("RGB", (8, 8)).save(folder / f"secret.{ending}")
    for ending in ("txt", "png", "jpg"):
        (root / f"link.{ending}").symlink_to(outside / f"secret.{ending}")
        (root / f"hidden.{ending}").symlink_to(root / ".keys" / f"secret.{ending}")
        (root / f"within.{ending}").symlink_to(root / f"secret.{ending}")
    (root / "folder").symlink_to(outside)
    return root


@pytest.mark.parametrize("name", ["link", "hidden", "folder/secret", "../outside/secret", ".keys/secret"])
def test_what_lies_elsewhere_is_left_out_by_runs_of_the_page_only(root, name, tmp_path, monkeypatch):
    text, picture, photograph = (root / f"{name}.{ending}" for ending in ("txt", "png", "jpg"))
    assert read_caption(text).text == "a cat" and image_size(photograph) == image_size(picture) == (8, 8)
    monkeypatch.setattr(reach, "_TOLD", as_variable([root])[ROOTS_VARIABLE])
    with pytest.raises(UnreadableText, match=r"it leads out of the folders that the page may reach \(--root\)"):
        read_caption(text)
    for read in (image_size, open_image, lambda path: copy_file(path, tmp_path / "copy")):
        for path in (picture, photograph):
            with pytest.raises(UnreadableImage, match="it leads out of the folders"):
                read(path)
    with pytest.raises(UnreadableImage, match="it leads out of the folders"):
        copy_file(text, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_lies_within_is_read_as_ever(root, monkeypatch):
    hub = root / ".cache" / "huggingface" / "hub"
    hub.mkdir(parents=True)
    (hub / "a.txt").write_text("a dog")
    monkeypatch.setattr(reach, "_TOLD", as_variable(["/nowhere", root])[ROOTS_VARIABLE])
    assert read_caption(root / "within.txt").text == "a cat" and open_image(root / "within.png").size == (8, 8)
    assert read_caption(hub / "a.txt").text == "a dog" and read_caption(root / "none.txt") is None
    monkeypatch.chdir(root)
    assert image_size("within.jpg") == (8, 8) and is_out_of_reach("link.jpg")
    assert as_variable([]) == {}
    # What hides the root itself is the user's own choice.
    monkeypatch.setattr(reach, "_TOLD", as_variable([root / ".keys"])[ROOTS_VARIABLE])
    assert read_caption(root / ".keys" / "secret.txt").text == "a cat"
