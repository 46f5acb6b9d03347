import io
import random

import pytest
from PIL import Image, ImageCms, ImageDraw

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL
from prefect_seedance.storyboard import image_fit as fitting
from prefect_seedance.storyboard.image import Fit, SourceImage

_CORNERS = ("red", "lime", "blue", "yellow")
_ORIENTATION = 0x0112

_TO_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""By orientation: how an upright image is turned to what the file then stores."""


def painted(size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Return an image whose corners, edges and middle are told by their colours."""
    image = Image.new("RGB", size, "gray")
    draw, (width, height) = ImageDraw.Draw(image), size
    for colour, place in zip(_CORNERS, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        x, y = place[0] * width * 3 // 4, place[1] * height * 3 // 4
        draw.rectangle((x, y, x + width // 4, y + height // 4), fill=colour)
    draw.ellipse((width / 2 - 30, height / 2 - 30, width / 2 + 30, height / 2 + 30), fill="white")
    return image


def written(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    """Return the bytes of a file of this image."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def looked(content: bytes, *, fit: Fit = "none", ratio: str = "16:9") -> SourceImage:
    """Return the picture that a storyboard makes of these bytes."""
    return SourceImage.of(content, source="/boards/dawn", model=DEFAULT_MODEL).fitted(fit, aspect_ratio=ratio)


def decoded(content: bytes) -> Image.Image:
    """Read what the API gets, as a program would that knows nothing of EXIF."""
    return Image.open(io.BytesIO(content))


def near(found: object, wanted: tuple[int, ...], *, by: int = 12) -> bool:
    """Tell whether a colour is meant to be this one."""
    assert isinstance(found, tuple)
    return all(abs(one - other) <= by for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_file_that_fits_is_left_alone(image_format: str) -> None:
    """What needs nothing goes to the API byte for byte, fit or no fit."""
    content = written(painted((320, 180)), image_format)

    for fit in ("none", "crop", "pad"):
        assert fitting.sent(looked(content, fit=fit), content) == content


@pytest.mark.parametrize("orientation", _TO_STORED)
@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_turned_image_is_set_upright(image_format: str, orientation: int) -> None:
    """Whichever way a camera was held, the API gets the picture as people see it, and no EXIF."""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    stored = painted().transpose(_TO_STORED[orientation])
    content = written(stored, image_format, exif=exif.tobytes())

    picture = looked(content)
    image = decoded(fitting.sent(picture, content))

    assert (picture.width, picture.height) == (400, 300)
    assert image.size == picture.made_size == (400, 300)
    assert not image.getexif()
    corners = [image.getpixel(place) for place in ((20, 20), (380, 20), (20, 280), (380, 280))]
    assert all(
        near(found, Image.new("RGB", (1, 1), colour).getpixel((0, 0)), by=60)
        for found, colour in zip(corners, _CORNERS, strict=True)
    )


@pytest.mark.parametrize("ratio", CAPABILITIES[DEFAULT_MODEL].aspect_ratios)
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_fitted_images_share_one_geometry(fit: Fit, ratio: str) -> None:
    """Wide, high, large and small images come out in exactly one size, as start and end frame must."""
    sizes = set()
    for size in ((400, 310), (310, 400), (3000, 1000), (2500, 2600)):
        content = written(painted(size), "JPEG")
        sizes.add(decoded(fitting.sent(looked(content, fit=fit, ratio=ratio), content)).size)

    assert len(sizes) == 1


def test_crop_keeps_the_middle() -> None:
    """What is over the ratio is cut off on both sides alike, and nothing is stretched."""
    content = written(painted((400, 400)))

    image = decoded(fitting.sent(looked(content, fit="crop"), content))

    assert image.size == (1280, 720)
    assert [near(image.getpixel(place), (128, 128, 128)) for place in ((640, 10), (640, 709))] == [True] * 2
    white = [x for x in range(1280) if near(image.getpixel((x, 360)), (255, 255, 255))]
    tall = [y for y in range(720) if near(image.getpixel((640, y)), (255, 255, 255))]
    assert abs(len(white) - len(tall)) <= 2
    assert abs(len(white) - 61 * 1280 / 400) <= 4


def test_pad_keeps_everything_between_black() -> None:
    """The whole image is there, with black beside it."""
    content = written(painted((400, 400)))

    image = decoded(fitting.sent(looked(content, fit="pad"), content))

    assert image.size == (1280, 720)
    assert image.getpixel((270, 360)) == image.getpixel((1010, 360)) == (0, 0, 0)
    assert near(image.getpixel((300, 20)), (255, 0, 0))
    assert near(image.getpixel((980, 700)), (255, 255, 0))


def test_fit_sees_the_upright_image() -> None:
    """A phone's picture is cropped the way it is looked at, not the way it is stored."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    content = written(painted((300, 400)).transpose(_TO_STORED[6]), "JPEG", exif=exif.tobytes(), quality=95)

    upright = decoded(fitting.sent(looked(content, fit="crop", ratio="3:4"), content))
    cropped = decoded(fitting.sent(looked(content, fit="crop", ratio="1:1"), content))

    assert upright.size == (300, 400)
    assert near(cropped.getpixel((20, 20)), (255, 0, 0), by=40)
    assert near(cropped.getpixel((940, 20)), (0, 255, 0), by=40)


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_heavy_image_is_made_lighter(image_format: str) -> None:
    """A file over the model's limit is scaled down to under it, and shows the same."""
    content = written(painted((3000, 2000)), image_format) + bytes(11_000_000)
    picture = looked(content)

    made = fitting.sent(picture, content)

    assert len(made) < CAPABILITIES[DEFAULT_MODEL].image_bytes
    assert decoded(made).size == picture.made_size == (2121, 1414)
    assert near(decoded(made).getpixel((20, 20)), (255, 0, 0), by=40)


def test_noise_is_light_enough() -> None:
    """Even what no encoder can compress stays under the model's limit."""
    noise = Image.merge("RGB", [Image.effect_noise((2600, 2600), 200) for _ in range(3)])
    content = written(noise, "PNG", compress_level=1)
    picture = looked(content)

    assert picture.is_heavy
    assert len(fitting.sent(picture, content)) < CAPABILITIES[DEFAULT_MODEL].image_bytes


def _exchanged_profile() -> bytes:
    """Return the profile of a screen whose red and green are exchanged, so that no one can miss it."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = srgb.index(b"rXYZ"), srgb.index(b"gXYZ")
    srgb[red : red + 4], srgb[green : green + 4] = srgb[green : green + 4], srgb[red : red + 4]
    return bytes(srgb)


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_colours_follow_the_profile(image_format: str) -> None:
    """An image in other colours than sRGB is brought to those, for the API may not look at profiles."""
    red = Image.new("RGB", (400, 300), "red")
    content = written(red, image_format, icc_profile=_exchanged_profile(), quality=95)

    image = decoded(fitting.sent(looked(content, fit="crop"), content))

    assert near(image.getpixel((640, 360)), (0, 255, 0))
    assert "icc_profile" not in image.info


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it could not read
@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_broken_exif_is_ignored(image_format: str) -> None:
    """An image whose EXIF cannot be read is taken as it stands, for most of them say nothing else."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    whole, chance = exif.tobytes(), random.Random(3)  # noqa: S311 -- no secret
    for _ in range(100):
        broken = bytearray(whole)
        for _ in range(3):
            broken[chance.randrange(6, len(broken))] = chance.randrange(256)
        content = written(Image.new("RGB", (32, 16)), image_format, exif=bytes(broken))

        picture = looked(content)

        assert fitting.shown(picture, content).size == (picture.width, picture.height)


def test_broken_profile_is_ignored() -> None:
    """An image whose profile says nothing is taken for what most are."""
    content = written(Image.new("RGB", (400, 300), "red"), icc_profile=b"nonsense")

    image = decoded(fitting.sent(looked(content, fit="crop"), content))

    assert near(image.getpixel((640, 360)), (255, 0, 0))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("RGBA", (400, 300), (255, 0, 0, 0)), id="RGBA"),
        pytest.param(Image.new("LA", (400, 300), (0, 0)), id="LA"),
    ],
)
def test_transparent_is_white(image: Image.Image) -> None:
    """What can be seen through stands before white."""
    content = written(image)

    for fit in ("crop", "pad"):
        assert decoded(fitting.sent(looked(content, fit=fit), content)).getpixel((640, 360)) == (
            255,
            255,
            255,
        )


def test_transparent_colour_is_white() -> None:
    """A palette's, or one named colour that means transparent, stands before white as well."""
    one = Image.new("RGB", (400, 300), "lime")
    palette = one.convert("P", palette=Image.Palette.ADAPTIVE)
    for content in (
        written(one, transparency=(0, 255, 0)),
        written(palette, transparency=palette.getpixel((0, 0))),
    ):
        image = decoded(fitting.sent(looked(content, fit="crop"), content))

        assert image.getpixel((640, 360)) == (255, 255, 255)


def test_transparent_colour_survives_scaling() -> None:
    """A large image's transparent colour is seen through before it is blended with others."""
    stripes = Image.new("RGB", (2, 1), "red")
    stripes.putpixel((0, 0), (0, 255, 0))
    tile = stripes.resize((2, 2600), Image.Resampling.NEAREST)
    image = Image.new("RGB", (2600, 2600))
    for x in range(0, 2600, 2):
        image.paste(tile, (x, 0))
    content = written(image, transparency=(0, 255, 0))

    found = decoded(fitting.sent(looked(content, fit="crop"), content)).getpixel((640, 360))

    assert near(found, (255, 128, 128), by=16)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(written(Image.new("I;16", (400, 300), 0x8000)), (128, 128, 128), id="16 bits"),
        pytest.param(written(Image.new("L", (400, 300), 128)), (128, 128, 128), id="gray"),
        pytest.param(written(Image.new("1", (400, 300), 1)), (255, 255, 255), id="black and white"),
        pytest.param(written(Image.new("RGB", (400, 300), "teal").quantize()), (0, 128, 128), id="palette"),
        pytest.param(
            written(Image.new("CMYK", (400, 300), (255, 0, 0, 0)), "JPEG", quality=95),
            (0, 255, 255),
            id="CMYK",
        ),
    ],
)
def test_every_kind_of_image_keeps_its_colour(content: bytes, wanted: tuple[int, int, int]) -> None:
    """Whatever an image's pixels are made of, the API gets eight bits of red, green and blue."""
    image = decoded(fitting.sent(looked(content, fit="crop"), content))

    assert image.mode == "RGB"
    assert near(image.getpixel((640, 360)), wanted)


def test_shown_is_what_was_sent() -> None:
    """To compare with, there are the same pixels, also of a picture that is sent as it is."""
    for fit in ("none", "crop"):
        content = written(painted((400, 300)))
        picture = looked(content, fit=fit)

        sent = decoded(fitting.sent(picture, content))

        assert fitting.shown(picture, content).tobytes() == sent.convert("RGB").tobytes()
