"""Draw the frames of all clips into one picture."""

import math
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

_FRAMES = 3
"""Of each clip: start, middle, end."""

_PIXELS = 5_000_000
"""Of all frames together: 20 MB of memory and about 1 MB as a file, for any number of clips."""

_NARROWEST, _WIDEST = 24, 320
_CAPTION_FROM = 72
"""On a frame so wide there is room for a number below."""

_SHAPE = 1.4
"""Width to height, as of a page that is looked at on a screen."""

_MARGINS = 20, 4
"""Between clips, where there is room for a number and where there is none."""

_GAP = 4
_PAPER, _INK, _VOID = "#14161a", "#c4c8d0", "#262a31"
_QUALITY = 80


class ContactSheet:
    """A dark sheet with a numbered row of three frames for each clip.

    Its size is settled at the beginning, so that frames can come and go one clip at a time.
    """

    def __init__(self, clips: int, *, ratio: float) -> None:
        """Begin an empty sheet for some clips, whose frames have this ratio of width to height."""
        fitting = int(math.sqrt(_PIXELS * ratio / (_FRAMES * max(1, clips))))
        self._width = max(_NARROWEST, min(_WIDEST, fitting))
        self._height = max(1, round(self._width / ratio))
        has_room = self._width >= _CAPTION_FROM
        self._caption = 20 if has_room else 0
        self._margin = _MARGINS[0] if has_room else _MARGINS[1]
        self._cell = (
            _FRAMES * (self._width + _GAP) - _GAP + self._margin,
            self._height + self._caption + self._margin // 2,
        )
        columns = round(math.sqrt(clips * _SHAPE * self._cell[1] / self._cell[0]))
        self._columns = max(1, min(columns, clips))
        rows = math.ceil(clips / self._columns)
        size = (
            self._margin + self._columns * self._cell[0],
            self._margin + rows * self._cell[1] + self._margin // 2,
        )
        self._sheet = Image.new("RGB", size, _PAPER)

    def add(self, place: int, frames: Sequence[Image.Image | None], *, caption: str) -> None:
        """Draw a clip.

        Args:
            place: Which it is, from 0.
            frames: Start, middle and end; None where there is none.
            caption: What to write below, in Latin letters.
        """
        row, column = divmod(place, self._columns)
        left, top = self._margin + column * self._cell[0], self._margin + row * self._cell[1]
        size = self._width, self._height
        for number, frame in enumerate(frames):
            tile = ImageOps.pad(frame, size, color=_VOID) if frame else Image.new("RGB", size, _VOID)
            self._sheet.paste(tile, (left + number * (self._width + _GAP), top))
        if self._caption:
            draw = ImageDraw.Draw(self._sheet)
            draw.text((left, top + self._height + 3), caption, fill=_INK, font=ImageFont.load_default(13))

    def jpeg(self) -> bytes:
        """Return the sheet as a file."""
        file = BytesIO()
        self._sheet.save(file, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
        return file.getvalue()
