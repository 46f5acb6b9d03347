"""Draw the frames of all clips into one image."""

import math
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

from prefect_seedance.report.thumbnails import STILLS_PER_CLIP, Stills, decode

_TOTAL_PIXELS = 3_000_000
"""Of all frames: 15 MB of memory, with margins, and a file of about 0.7 MB, for any number of clips."""

_MIN_WIDTH, _MAX_WIDTH = 24, 320
"""Of a frame, in pixels."""

_CAPTION_WIDTH = 72
"""From this width of a frame on, there is room for a number below it."""

_RATIO = 1.4
"""Width to height of the sheet, about that of a screen."""

_MARGINS = 20, 4
"""Between clips, with and without numbers."""

_GAP = 4
_BACKGROUND, _TEXT, _EMPTY = "#14161a", "#c4c8d0", "#262a31"
_QUALITY = 80
_SMOOTH = Image.Resampling.BILINEAR
"""Half as dear as Pillow's default, and as good for frames that get smaller."""


class ContactSheet:
    """A dark sheet with a numbered row of three frames for each clip.

    Its size is fixed from the start, so that only one clip's frames are in memory at a time.
    """

    def __init__(self, clips: int, *, ratio: float) -> None:
        """Create an empty sheet.

        Args:
            clips: Number of clips.
            ratio: Width to height of a frame.
        """
        width = int(math.sqrt(_TOTAL_PIXELS * ratio / (STILLS_PER_CLIP * max(1, clips))))
        self._width = max(_MIN_WIDTH, min(_MAX_WIDTH, width))
        self._height = max(1, round(self._width / ratio))
        has_captions = self._width >= _CAPTION_WIDTH
        self._caption = 20 if has_captions else 0
        self._margin = _MARGINS[0] if has_captions else _MARGINS[1]
        self._cell = (
            STILLS_PER_CLIP * (self._width + _GAP) - _GAP + self._margin,
            self._height + self._caption + self._margin // 2,
        )
        columns = round(math.sqrt(clips * _RATIO * self._cell[1] / self._cell[0]))
        self._columns = max(1, min(columns, clips))
        rows = math.ceil(clips / self._columns)
        size = (
            self._margin + self._columns * self._cell[0],
            self._margin + rows * self._cell[1] + self._margin // 2,
        )
        self._sheet = Image.new("RGB", size, _BACKGROUND)

    def add(self, index: int, stills: Stills, *, caption: str) -> None:
        """Draw a clip.

        Args:
            index: Index of the clip, from 0.
            stills: Of the clip.
            caption: Text below the frames, in Latin letters.
        """
        row, column = divmod(index, self._columns)
        left, top = self._margin + column * self._cell[0], self._margin + row * self._cell[1]
        size = self._width, self._height
        for number, still in enumerate(stills):
            frame = decode(still, width=self._width)
            tile = (
                ImageOps.pad(frame, size, _SMOOTH, color=_EMPTY) if frame else Image.new("RGB", size, _EMPTY)
            )
            self._sheet.paste(tile, (left + number * (self._width + _GAP), top))
        if self._caption:
            draw = ImageDraw.Draw(self._sheet)
            draw.text((left, top + self._height + 3), caption, fill=_TEXT, font=ImageFont.load_default(13))

    def jpeg(self) -> bytes:
        """Return the sheet as a JPEG file."""
        file = BytesIO()
        self._sheet.save(file, "JPEG", quality=_QUALITY)  # to optimize it takes 15 MB of memory
        return file.getvalue()
