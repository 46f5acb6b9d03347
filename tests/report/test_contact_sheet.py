"""The contact sheet: bounded in size, with every frame in its cell."""

from io import BytesIO

import pytest
from PIL import Image

from prefect_seedance.report.contact_sheet import ContactSheet
from tests.reports import jpeg


@pytest.mark.parametrize("clips", [0, 1, 3, 10, 100, 2000])
@pytest.mark.parametrize("ratio", [9 / 16, 1.0, 21 / 9])
def test_size_is_bounded(clips: int, ratio: float) -> None:
    """For any number and shape of clips, the sheet has the size of a large photo at most."""
    sheet = ContactSheet(clips, ratio=ratio)
    tall = jpeg("red", size=(90, 160))

    for index in range(clips):
        sheet.add(index, (tall, None, tall), caption=f"{index}")

    image = _image(sheet)
    assert image.width * image.height < 16_000_000
    assert 0.3 < image.width / image.height < 12 or clips < 3


def test_frames_are_in_order() -> None:
    """Every frame is in its cell, in whatever order clips are added."""
    sheet = ContactSheet(2, ratio=16 / 9)
    sheet.add(1, (jpeg("red"), jpeg("lime"), jpeg("blue")), caption="2")
    sheet.add(0, (None, jpeg("white"), None), caption="1")

    image = _image(sheet)

    pixels = [image.crop((x, y, x + 1, y + 1)) for y in (110, 324) for x in (180, 504, 828)]
    assert [_colour(pixel) for pixel in pixels] == ["dark", "white", "dark", "red", "green", "blue"]


def test_caption_is_below_frames() -> None:
    """A caption is drawn where there is room, below the clip's frames."""
    sheets = [ContactSheet(1, ratio=16 / 9) for _ in range(2)]
    for sheet, caption in zip(sheets, ("", "7"), strict=True):
        sheet.add(0, (None, None, None), caption=caption)

    without, image = (_image(sheet) for sheet in sheets)

    below = (20, 200, 60, 220)
    assert max(without.crop(below).tobytes()) < 60
    assert max(image.crop(below).tobytes()) > 120


def _image(sheet: ContactSheet) -> Image.Image:
    return Image.open(BytesIO(sheet.jpeg()))


def _colour(pixel: Image.Image) -> str:
    red, green, blue = pixel.tobytes()
    names = {
        (True, False, False): "red",
        (False, True, False): "green",
        (False, False, True): "blue",
        (True, True, True): "white",
        (False, False, False): "dark",
    }
    return names[red > 128, green > 128, blue > 128]
