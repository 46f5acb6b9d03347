"""Draw the slate shown for a missing clip."""

import textwrap

from PIL import Image, ImageDraw, ImageFont

_BACK = "#15171c"
_STRIPE = "#e0a030"
_TEXT = "#f2f2f2"
_QUIET = "#a8adb8"


def draw_slate(title: str, name: str, reason: str, *, size: tuple[int, int]) -> Image.Image:
    """Draw a slate.

    Args:
        title: The headline.
        name: Name of the clip.
        reason: Why the clip is missing; may be empty.
        size: Width and height of the film, in pixels.
    """
    wide, high = size
    unit = min(size) / 18
    slate = Image.new("RGB", size, _BACK)
    pen = ImageDraw.Draw(slate)
    pen.rectangle((0, 0, wide, unit / 3), fill=_STRIPE)
    top = high / 2 - 3 * unit
    for text, scale, colour, lines in (
        (title, 2.0, _TEXT, 2),
        (name, 1.1, _TEXT, 2),
        (reason, 0.7, _QUIET, 4),
    ):
        font = ImageFont.load_default(size=unit * scale)
        columns = max(8, int(0.88 * wide / (0.52 * unit * scale)))
        words = "\n".join(textwrap.wrap(text.replace("→", "to"), columns)[:lines])
        pen.multiline_text((wide / 2, top), words, fill=colour, font=font, anchor="ma", align="center")
        top = pen.multiline_textbbox((wide / 2, top), words, font=font, anchor="ma")[3] + unit * 0.8
    return slate
