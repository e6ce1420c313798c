"""Files that are broken in every way that comes to mind, made from good ones: the same for the same seed.

Tensors stand in a module of their own.
"""

import functools
import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bad_input import broken_tensors
from tests.bad_input.evil import evil_of
from tests.bad_input.kinds import Broken, made, of_bytes

STEP_BYTES = 64 * 1024
SPARSE_BYTES = 100 * 10**9
LINE_BYTES = 10**9


@functools.lru_cache(maxsize=64)
def broken(kind: str, good: Path, seed: int = 0) -> list[Broken]:
    """Everything of a kind that can be made from a good file, in a fixed order."""
    draw = random.Random(f"{seed}-{kind}-{good.name}")
    data = good.read_bytes()
    evil = [of_bytes(f"evil: {name}", content, usable=True) for name, content in evil_of(kind, good)]
    return [*_anything(data, draw), *_cut(data, kind), *KINDS[kind](data, draw), *evil]


# What may stand in the place of any file


def _anything(data: bytes, draw: random.Random) -> Iterator[Broken]:
    yield Broken("a folder", lambda path: path.mkdir())
    yield Broken("a link to itself", lambda path: path.symlink_to(path.name))
    yield Broken("a link to nothing", lambda path: path.symlink_to("nowhere"))
    yield Broken("a link to an endless device", lambda path: path.symlink_to("/dev/zero"))
    yield Broken("a link to an empty device", lambda path: path.symlink_to("/dev/null"))
    yield Broken("a pipe", lambda path: os.mkfifo(path))
    yield Broken("100 GB of nothing", lambda path: _sparse(path, b""))
    yield Broken("the file and then 100 GB of nothing", lambda path: _sparse(path, data))
    yield Broken("one line of 1 GB", _long_line)
    yield made("the same size in zeros", lambda: bytes(len(data)))
    chance = draw.randrange(2**32)
    yield made("the same size by chance", lambda: random.Random(chance).randbytes(len(data)))
    yield of_bytes("text", b"This is not what was asked for.\n", usable=True)
    yield of_bytes("UTF-16", "text in another encoding\n".encode("utf-16"), usable=True)
    yield of_bytes("no UTF-8", b"\xff\xfe\xfd\x80 \xc3\x28\xa0\xa1", usable=True)
    yield of_bytes("NUL in text", b'{"a\0": "b\0"}\n\0 = 1\n', usable=True)
    yield made("the file and chance behind it", lambda: data + random.Random(chance).randbytes(4096), usable=True)
    yield made("chance before the file", lambda: random.Random(chance).randbytes(16) + data, usable=True)
    for number in range(6):
        for bits, reach in ((1, len(data)), (100, len(data)), (8, 512)):
            make = functools.partial(_flipped, data, draw.randrange(2**32), bits, reach)
            yield made(f"{bits} bits flipped within {reach} bytes, {number}", make, usable=True)
    for name, other in _strangers().items():
        yield of_bytes(name, other, usable=True)


def _sparse(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    os.truncate(path, SPARSE_BYTES)


def _long_line(path: Path) -> None:
    """Linked from one file, as writing it takes a second."""
    store = Path(os.environ.get("BAD_INPUT_STORE", path.parent)) / "one_line"
    if not store.exists():
        beside = store.with_name(f"one_line_{os.getpid()}")
        with open(beside, "wb") as file:
            for _ in range(LINE_BYTES // 10**6):
                file.write(b"a, b " * 200_000)
        beside.rename(store)
    if store.parent == path.parent:
        store.rename(path)
    else:
        os.link(store, path)


def _flipped(data: bytes, seed: int, bits: int, reach: int) -> bytes:
    changed, draw = bytearray(data), random.Random(seed)
    for _ in range(bits if data else 0):
        changed[draw.randrange(min(reach, len(data)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _strangers() -> dict[str, bytes]:
    """Good files of quite another kind."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../out_of_the_folder", "x")
    return {
        "an empty zip": b"PK\x05\x06" + bytes(18),
        "a zip whose file lies outside": archive.getvalue(),
        "a gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        "a PNG": _png(8, 8),
        "a script": b"#!/bin/sh\ntouch /tmp/ran\n",
        "a page": b"<!DOCTYPE html><html><body>404</body></html>",
        "a pointer": b"version https://git-lfs.github.com/spec/v1 oid sha256:00 size 4265146304\n",
    }


def _cut(data: bytes, kind: str) -> Iterator[Broken]:
    """Cut at every 64 KB, and around where headers end."""
    borders = {0, 1, 2, 7, 8, 9, 64, len(data) // 2, len(data) - 1, *range(STEP_BYTES, len(data), STEP_BYTES)}
    if kind == "safetensors" and len(data) > 8:
        end = 8 + int.from_bytes(data[:8], "little")
        borders |= {end - 1, end, end + 1}
    text = kind in _TEXTS
    for place in sorted(place for place in borders if 0 <= place < len(data)):
        yield made(f"cut after {place} bytes", functools.partial(data.__getitem__, slice(place)), usable=text)


# Pictures


def _chunk(kind: bytes, data: bytes) -> bytes:
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, depth: int = 8, colours: int = 0, rows: bytes | None = None) -> bytes:
    import zlib

    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    rows = bytes(height * (1 + width)) if rows is None else rows
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@functools.cache
def png_of_zeros(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel, all black: small here, large where it is opened."""
    import zlib

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _pictures(data: bytes, draw: random.Random) -> Iterator[Broken]:
    yield Broken("a bomb of 60000 x 60000", lambda path: path.write_bytes(png_of_zeros(60_000, 60_000)))
    yield Broken("20000 x 20000 black pixels", lambda path: path.write_bytes(png_of_zeros(20_000, 20_000)), usable=True)
    yield of_bytes("no pixels", _png(0, 0))
    yield of_bytes("no height", _png(8, 0))
    yield of_bytes("2 billion wide", _png(2**31 - 1, 1, rows=b"\0"))
    yield of_bytes("a strip of 1 x 60000", _png(1, 60_000), usable=True)
    yield of_bytes("a strip of 60000 x 1", _png(60_000, 1), usable=True)
    yield of_bytes("colours that there are not", _png(8, 8, depth=3, colours=9))
    yield of_bytes("pixels missing", _png(64, 64, rows=bytes(70)), usable=True)
    head, rest = _png(64, 64)[:33], _png(64, 64)[33:]
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHII", 1, 0x0112, 3, 2**31, 2**31)
    for name, chunk in {
        "broken EXIF": _chunk(b"eXIf", exif),
        "a text bomb": _chunk(b"zTXt", b"a\0\0" + _zeros(200 * 10**6)),
        "a profile bomb": _chunk(b"iCCP", b"a\0\0" + _zeros(200 * 10**6)),
        "a broken profile": _chunk(b"iCCP", b"a\0\0" + _zeros(100)),
        "a chunk of 2 GB": struct.pack(">I", 2**31 - 1) + b"tEXt",
    }.items():
        yield of_bytes(name, head + chunk + rest, usable=True)
    yield of_bytes("an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>')
    yield of_bytes(
        "a GIF of 65535 x 65535", b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\2\0;"
    )
    yield of_bytes("a TIFF that goes in circles", b"II*\0\x08\0\0\0\0\0\x08\0\0\0")
    yield of_bytes("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/ran) (w) file\n%%EOF\n")


@functools.cache
def _zeros(size: int) -> bytes:
    import zlib

    packer = zlib.compressobj(9)
    block = bytes(10**6)
    return b"".join(packer.compress(block) for _ in range(size // 10**6)) + packer.flush()


# Texts: whatever their grammar


def _text(data: bytes, draw: random.Random) -> Iterator[Broken]:
    text = data.decode("utf-8", "replace")
    for name, content in {
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + data,
        "the file as UTF-16": text.encode("utf-16"),
        "the file as UTF-32": text.encode("utf-32"),
        "old line ends": data.replace(b"\n", b"\r"),
        "NUL behind each character": text.encode("utf-16-le"),
        "half a character": data + "猫".encode()[:2],
        "a million brackets": b"[" * 10**6,
        "a million braces": b"{" * 10**6,
        "a million of {a|": b"{a|" * 10**6,
        "a million of (": b"a " + b"(" * 10**6,
        "a million of ))": b"a " + b"(a:1.1)" * 10**5 + b")" * 10**6,
        "a million lines": b"a\n" * 10**6,
        "a million spaces": b" " * 10**6 + data,
        "control characters": bytes(range(1, 32)) * 8,
        "a terminal's commands": b"\x1b]0;title\x07\x1b[2J" + data,
        "right to left": "\u202e\u2066".encode() + data,
        "numbers without end": b"9" * 10**5,
    }.items():
        yield of_bytes(name, content, usable=True)


_HUGE = "9" * 5000
_STRANGE: list[Any] = [
    None, True, -1, 0, 2**63, 1e308, float("nan"), float("inf"), "", "\0", "x" * 10**6, "\ud800", [],
    {}, [[]], {"a": {}},
]  # fmt: skip


def _json(data: bytes, draw: random.Random) -> Iterator[Broken]:
    yield from _text(data, draw)
    for value in _STRANGE:
        yield of_bytes(f"JSON: {str(value)[:20]!r}", json.dumps(value).encode(), usable=True)
    yield of_bytes("a number of 5000 digits", f'{{"a": {_HUGE}}}'.encode(), usable=True)
    yield of_bytes("nested lists", b'{"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", usable=True)
    yield of_bytes("nested objects", b'{"a": ' * 10**5 + b"1" + b"}" * 10**5, usable=True)
    yield of_bytes("comments", b"// comment\n" + data, usable=True)
    try:
        good = json.loads(data)
    except ValueError:
        return
    for number in range(40):
        yield of_bytes(f"changed JSON {number}", json.dumps(_mutated(good, draw)).encode(), usable=True)


def _mutated(value: Any, draw: random.Random) -> Any:
    """The value with one part of it replaced, left out, or made anew."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key, what = draw.choice(sorted(value)), draw.random()
        if what < 0.15:
            return {name: one for name, one in value.items() if name != key}
        if what < 0.3:
            return {**value, draw.choice(("", "\n", "x" * 5000, "../../x", "\ud800", "extra")): value[key]}
        return {**value, key: _mutated(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        place = draw.randrange(len(value))
        return [*value[:place], _mutated(value[place], draw), *value[place + 1 :]]
    return draw.choice(_STRANGE)


def _toml(data: bytes, draw: random.Random) -> Iterator[Broken]:
    yield from _text(data, draw)
    lines = data.decode().splitlines()
    values = ("", '""', "nan", "inf", "-1", "9" * 400, "1e999", "1979-05-27", "[]", "{}", "[[1]]", "true", '"\\u0000"')
    for number in range(40):
        place = draw.randrange(len(lines))
        key = lines[place].partition("=")[0]
        changed = (
            f"{key}= {draw.choice(values)}" if "=" in lines[place] else draw.choice(("[[a]]", "[a.b.c]", "[a", ""))
        )
        yield of_bytes(
            f"changed TOML {number}", "\n".join([*lines[:place], changed, *lines[place + 1 :]]).encode(), True
        )
    for name, text in {
        "unknown key": "unknown_key = 1\n",
        "the same key twice": f"{lines[-1]}\n",
        "nested tables": "".join(f"[{'.'.join('a' * depth)}]\n" for depth in range(1, 300)),
        "a deep list": "deep = " + "[" * 5000 + "]" * 5000 + "\n",
    }.items():
        yield of_bytes(name, data + b"\n" + text.encode(), usable=True)


def _prompts(data: bytes, draw: random.Random) -> Iterator[Broken]:
    yield from _text(data, draw)
    ends = ("", "x", "-1", "0", "nan", "inf", "1e9", "9" * 30, "99999999", "\0", "٣")
    flags = ("w", "h", "s", "l", "d", "n", "ss", "g", "cn", "am", "i", "zz", "", "-")
    for flag in flags:
        for end in draw.sample(ends, 4):
            yield of_bytes(f"--{flag} {end[:9]!r}", f"a cat --w 64 --h 64 --s 2 --{flag} {end}\n".encode(), usable=True)


def _csv(data: bytes, draw: random.Random) -> Iterator[Broken]:
    yield from _text(data, draw)
    lines = data.decode().splitlines()
    for name, content in {
        "no heading": lines[1:],
        "a heading alone": lines[:1],
        "a line too few": lines[:-1],
        "a line too many": [*lines, lines[-1]],
        "an open quote": [*lines, '"open'],
        "a field of 1 MB": [*lines[:-1], "1," + "x" * 10**6 + ",0,1"],
        "words for numbers": [lines[0], *(line.replace("0", "zero") for line in lines[1:])],
        "fields missing": [lines[0], *(line.split(",")[0] for line in lines[1:])],
    }.items():
        yield of_bytes(name, "\n".join(content).encode(), usable=True)


def _plain(data: bytes, draw: random.Random) -> Iterator[Broken]:
    return iter(())


KINDS: dict[str, Callable[[bytes, random.Random], Iterator[Broken]]] = {
    "picture": _pictures,
    "caption": _text,
    "json": _json,
    "toml": _toml,
    "prompts": _prompts,
    "csv": _csv,
    "safetensors": broken_tensors.safetensors,
    "npz": broken_tensors.arrays,
    "pickle": broken_tensors.pickled,
    "plain": _plain,
}
_TEXTS = {"caption", "json", "toml", "prompts", "csv"}
"""Kinds of which a part may be a whole."""

NAMES = (
    "line\nbreak.png", "tab\t.png", "bell\x07.png", "\x1b[2Jclear.png", "\x1b]0;title\x07.png", "x" * 251 + ".png",
    "猫" * 83 + ".png", "\u202egnp.png", ".png", "..png", " .png", "-rf.png", "--help.png", "a\\b.png", "C:.png",
    "CON.png", "%s%n.png", "<img src=x>.png", "&amp;.png", "{0}.png", "[*].png", "e\u0301.png", "\u00e9.png",
    os.fsdecode(b"\xff\xfe.png"), "\x7f.png", "a.png.png", "~.png", "$HOME.png", "'.png", '".png', "#.png",
    "\u2028.png",
)  # fmt: skip
"""Names of pictures that a file system takes and a careless program does not."""
