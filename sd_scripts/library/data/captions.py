"""Texts beside pictures: reading them whatever their encoding, and making the text that is trained. Needs no torch."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.reach import OUTSIDE, is_out_of_reach
from sd_scripts.library.io.reading import read_whole

# A model reads a few hundred words at most, and reading a book for one takes gigabytes.
LONGEST_BYTES = 200_000
TEXT_ENDINGS = (".caption", ".txt", ".cap")
"""Endings that text files beside pictures have."""


class CaptionText(NamedTuple):
    """The text of a file, stripped, its line ends made \\n. `encoding` is that of the file."""

    text: str
    encoding: str


class UnreadableText(Exception):
    """A text file that cannot be read; the text says why."""


RUN_BY_SOMETHING = (
    ".py", ".pyw", ".pyc", ".pyd", ".pth", ".sh", ".bash", ".bat", ".cmd", ".com", ".exe", ".dll", ".so", ".dylib",
    ".ps1", ".psm1", ".vbs", ".js", ".mjs", ".jar", ".scr", ".lnk", ".desktop", ".reg", ".html", ".htm", ".xhtml",
    ".svg", ".php",
)  # fmt: skip
"""Endings of files that systems, Python or browsers run: no text of a picture is written into one."""


def checked_extension(extension: str, option: str = "caption_extension") -> str:
    """The ending with its dot. Errors: BadOption, for one that would overwrite pictures, is run, or is empty."""
    from sd_scripts.library.data.images import IMAGE_SUFFIXES

    ending = extension if extension.startswith(".") else f".{extension}"
    # Windows leaves dots and spaces at the end of a name away.
    refused = ending == "." or ending.lower().rstrip(". ").endswith((*IMAGE_SUFFIXES, *RUN_BY_SOMETHING))
    if refused or "/" in ending or "\\" in ending:
        raise BadOption(option, f'--{option} "{extension}" cannot be the ending of a text file. Use .caption or .txt.')
    return ending


def caption_path(image: Path, extension: str) -> Path:
    """The text file that belongs to a picture: the same stem."""
    return image.with_suffix(extension)


def other_ending(images: Sequence[Path], extension: str) -> str | None:
    """Another ending that text files beside these pictures have, for a hint; None where there are none."""
    endings = (ending for ending in TEXT_ENDINGS if ending != extension)
    return next((e for e in endings if any(caption_path(image, e).is_file() for image in images)), None)


def read_caption(path: str | Path) -> CaptionText | None:
    """The text of a file, or None where there is none.

    UTF-8 (with or without a byte order mark), UTF-16 with one, else Shift-JIS. Errors: UnreadableText.
    """
    if is_out_of_reach(path):
        raise UnreadableText(OUTSIDE)
    try:
        data = read_whole(path, LONGEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableText(f"it cannot be read ({error.strerror})") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for attempt in (encoding, "cp932"):
        try:
            text = _decoded(data, attempt)
        except UnicodeDecodeError:
            continue
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return CaptionText(text.strip(), attempt)
    raise UnreadableText("it is text in no known encoding; save it as UTF-8")


def _decoded(data: bytes, encoding: str) -> str:
    # The decoder that also looks for a mark is slow.
    plain = encoding == "utf-8-sig" and not data.startswith(BOM_UTF8)
    return data.decode("utf-8" if plain else encoding)


def training_text(caption: str, tags: str, separator: str = ",", every_line: bool = False) -> str:
    """Caption and tags as they are trained: "caption, tags"; of several lines the first one counts.

    `every_line`: each line of the caption with all tags (the lines of tags become one), for captions by lot. Tags alone
    are a text like any other, with its own lines.
    """
    between = f"{separator.rstrip()} "
    if not every_line:
        sentence, words = _first_line(caption), _first_line(tags)
        return f"{sentence}{between}{words}" if sentence and words else sentence or words
    sentences, tag_lines = _lines(caption), _lines(tags)
    if not sentences or not tag_lines:
        return "\n".join(sentences or tag_lines)
    all_tags = between.join(tag_lines)
    return "\n".join([f"{sentence}{between}{all_tags}" for sentence in sentences])


def _first_line(text: str) -> str:
    """The first line that is not empty, looked for without the others; "" where there is none."""
    stripped = (text or "").strip()
    # What ends a line is white space, so the first line of what is left is not empty.
    return stripped.splitlines()[0].rstrip() if stripped else ""


def _lines(text: str) -> list[str]:
    """The lines of a text that are not empty."""
    return [line for part in (text or "").splitlines() if (line := part.strip())]
