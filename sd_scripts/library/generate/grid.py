"""One labelled picture of many: prompts below each other, what drew them side by side. Needs no torch."""

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Larger pictures are of little use, and not every program opens them.
LONGEST_SIDE_PX = 16_000
_GAP_PX, _PAD_PX = 8, 12
_WHITE, _BLACK = (255, 255, 255), (20, 24, 30)
# Fonts with Japanese letters, as systems name their files; pillow's own has ASCII only.
_FONTS = ("NotoSansCJK-Regular.ttc", "YuGothR.ttc", "meiryo.ttc", "msgothic.ttc", "ヒラギノ角ゴシック W3.ttc",
          "Hiragino Sans GB.ttc", "ipag.ttf", "TakaoGothic.ttf", "fonts-japanese-gothic.ttf",
          "DroidSansFallbackFull.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf")  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Files of pictures by row and column, None where there is none, with the labels of both."""

    columns: Sequence[str]
    rows: Sequence[str]
    cells: Sequence[Sequence[Path | None]]


def draw_grid(table: Table) -> Any:
    """A PIL picture of all cells, as large as they are; smaller, where it would be larger than can be used."""
    from PIL import Image, ImageDraw

    images = [[_opened(path) for path in row] for row in table.cells]
    sizes = [image.size for row in images for image in row if image]
    cell_px = max(width for width, _ in sizes), max(height for _, height in sizes)
    cell_px = _fitting(cell_px, len(table.columns), len(table.rows))
    font_px = max(11, min(28, cell_px[0] // 18))
    labels = [_wrapped(text, cell_px[0], font_px) for text in table.columns]
    left_px = _side(table.rows, cell_px[0], font_px)
    sides = [_wrapped(text, left_px - 2 * _PAD_PX, font_px, cell_px[1]) for text in table.rows]
    head_px = _PAD_PX * 2 + max(label.count("\n") + 1 for label in labels) * _line_px(font_px)
    width = left_px + len(labels) * (cell_px[0] + _GAP_PX)
    sheet = Image.new("RGB", (width, head_px + len(sides) * (cell_px[1] + _GAP_PX)), _WHITE)
    pen = ImageDraw.Draw(sheet)
    for column, label in enumerate(labels):
        _write(pen, (left_px + column * (cell_px[0] + _GAP_PX), _PAD_PX), label, font_px)
    for row, label in enumerate(sides):
        top = head_px + row * (cell_px[1] + _GAP_PX)
        _write(pen, (_PAD_PX, top), label, font_px)
        for column, image in enumerate(images[row]):
            if image:
                image.thumbnail(cell_px)
                sheet.paste(image, (left_px + column * (cell_px[0] + _GAP_PX), top))
    return sheet


def _opened(path: Path | None) -> Any:
    from PIL import Image

    if path is None:
        return None
    with Image.open(path) as image:
        return image.convert("RGB")


def _fitting(cell_px: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    share = min(1.0, LONGEST_SIDE_PX / (columns * cell_px[0]), LONGEST_SIDE_PX / (rows * cell_px[1]))
    return max(8, int(cell_px[0] * share)), max(8, int(cell_px[1] * share))


def _side(rows: Sequence[str], cell_width_px: int, font_px: int) -> int:
    """Room for the prompts at the left: as much as they need, at most a cell's width."""
    longest = max((_font(text, font_px).getlength(text) for text in rows), default=0)
    return int(min(max(cell_width_px, 160), longest)) + 2 * _PAD_PX


def _wrapped(text: str, width_px: int, font_px: int, height_px: int | None = None) -> str:
    """The text in lines of this width; of more lines than there is room for the end is left out."""
    average_px = _font(text, font_px).getlength(text) / max(1, len(text)) or 1.0
    lines = textwrap.wrap(
        text, max(4, int(width_px / average_px)), max_lines=_lines(height_px, font_px), placeholder="..."
    )
    return "\n".join(lines)


def _lines(height_px: int | None, font_px: int) -> int:
    return 4 if height_px is None else max(1, height_px // _line_px(font_px))


def _line_px(font_px: int) -> int:
    return int(font_px * 1.4)


def _write(pen: Any, at_px: tuple[int, int], text: str, font_px: int) -> None:
    pen.multiline_text(at_px, text, fill=_BLACK, font=_font(text, font_px), spacing=font_px * 0.2)


def _font(text: str, size_px: int) -> Any:
    return _face(text.isascii(), size_px)


@functools.cache
def _face(ascii: bool, size_px: int) -> Any:
    """pillow's own font for ASCII; for other texts one of the system's, where there is one."""
    from PIL import ImageFont

    for name in () if ascii else _FONTS:
        try:
            return ImageFont.truetype(name, size_px)
        except OSError:
            continue
    return ImageFont.load_default(size_px)
