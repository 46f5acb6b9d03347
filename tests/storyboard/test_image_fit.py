import io
import random

import pytest
from PIL import Image, ImageCms, ImageColor, ImageDraw

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL
from prefect_seedance.storyboard.image import Fit, SourceImage
from prefect_seedance.storyboard.image_fit import convert, render
from prefect_seedance.storyboard.image_inspection import inspect_bytes

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
"""By orientation: the transposition from the upright to the stored image."""


def draw(size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Return an image whose corners and center have distinct colours."""
    image = Image.new("RGB", size, "gray")
    canvas, (width, height) = ImageDraw.Draw(image), size
    for colour, corner in zip(_CORNERS, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        x, y = corner[0] * width * 3 // 4, corner[1] * height * 3 // 4
        canvas.rectangle((x, y, x + width // 4, y + height // 4), fill=colour)
    canvas.ellipse((width / 2 - 30, height / 2 - 30, width / 2 + 30, height / 2 + 30), fill="white")
    return image


def encode(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    """Return the image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def inspect(content: bytes, *, fit: Fit = "none", ratio: str = "16:9") -> SourceImage:
    """Return the source image that a storyboard gets from these bytes."""
    return inspect_bytes(content, source="/boards/dawn", model=DEFAULT_MODEL).fitted(fit, aspect_ratio=ratio)


def decode(content: bytes) -> Image.Image:
    """Decode a file as a program does that ignores EXIF."""
    return Image.open(io.BytesIO(content))


def is_close(pixel: object, colour: tuple[int, ...], *, tolerance: int = 12) -> bool:
    """Return whether a pixel has about this colour."""
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= tolerance for one, other in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_fitting_file_is_unchanged(image_format: str) -> None:
    """A file that needs no conversion is hosted byte for byte, whatever the fit."""
    content = encode(draw((320, 180)), image_format)

    for fit in ("none", "crop", "pad"):
        assert convert(inspect(content, fit=fit), content) == content


@pytest.mark.parametrize("orientation", _TO_STORED)
@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_rotated_image_becomes_upright(image_format: str, orientation: int) -> None:
    """For every EXIF orientation, the API gets the upright image without EXIF."""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    stored = draw().transpose(_TO_STORED[orientation])
    content = encode(stored, image_format, exif=exif.tobytes())

    source = inspect(content)
    image = decode(convert(source, content))

    assert (source.width, source.height) == (400, 300)
    assert image.size == source.converted_size == (400, 300)
    assert not image.getexif()
    corners = [image.getpixel(corner) for corner in ((20, 20), (380, 20), (20, 280), (380, 280))]
    assert all(
        is_close(corner, ImageColor.getrgb(colour), tolerance=60)
        for corner, colour in zip(corners, _CORNERS, strict=True)
    )


@pytest.mark.parametrize("ratio", CAPABILITIES[DEFAULT_MODEL].aspect_ratios)
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_fitted_images_share_one_geometry(fit: Fit, ratio: str) -> None:
    """Images of any size and ratio become exactly one size, as start and end image must."""
    sizes = set()
    for size in ((400, 310), (310, 400), (3000, 1000), (2500, 2600)):
        content = encode(draw(size), "JPEG")
        sizes.add(decode(convert(inspect(content, fit=fit, ratio=ratio), content)).size)

    assert len(sizes) == 1


def test_crop_keeps_the_center() -> None:
    """The excess is cut off equally on both sides, and nothing is stretched."""
    content = encode(draw((400, 400)))

    image = decode(convert(inspect(content, fit="crop"), content))

    assert image.size == (1280, 720)
    assert [is_close(image.getpixel(point), (128, 128, 128)) for point in ((640, 10), (640, 709))] == [
        True
    ] * 2
    white = [x for x in range(1280) if is_close(image.getpixel((x, 360)), (255, 255, 255))]
    tall = [y for y in range(720) if is_close(image.getpixel((640, y)), (255, 255, 255))]
    assert abs(len(white) - len(tall)) <= 2
    assert abs(len(white) - 61 * 1280 / 400) <= 4


def test_pad_keeps_the_whole_image() -> None:
    """The whole image is visible between black bars."""
    content = encode(draw((400, 400)))

    image = decode(convert(inspect(content, fit="pad"), content))

    assert image.size == (1280, 720)
    assert image.getpixel((270, 360)) == image.getpixel((1010, 360)) == (0, 0, 0)
    assert is_close(image.getpixel((300, 20)), (255, 0, 0))
    assert is_close(image.getpixel((980, 700)), (255, 255, 0))


def test_fit_applies_to_the_upright_image() -> None:
    """A rotated image is cropped as it is displayed, not as it is stored."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    content = encode(draw((300, 400)).transpose(_TO_STORED[6]), "JPEG", exif=exif.tobytes(), quality=95)

    upright = decode(convert(inspect(content, fit="crop", ratio="3:4"), content))
    cropped = decode(convert(inspect(content, fit="crop", ratio="1:1"), content))

    assert upright.size == (300, 400)
    assert is_close(cropped.getpixel((20, 20)), (255, 0, 0), tolerance=40)
    assert is_close(cropped.getpixel((940, 20)), (0, 255, 0), tolerance=40)


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_oversized_image_is_reduced(image_format: str) -> None:
    """A file above the model's limit is scaled down below it and shows the same."""
    content = encode(draw((3000, 2000)), image_format) + bytes(11_000_000)
    source = inspect(content)

    converted = convert(source, content)

    assert len(converted) < CAPABILITIES[DEFAULT_MODEL].max_image_bytes
    assert decode(converted).size == source.converted_size == (2121, 1414)
    assert is_close(decode(converted).getpixel((20, 20)), (255, 0, 0), tolerance=40)


def test_noise_fits_the_limit() -> None:
    """Even an image that does not compress stays below the model's limit."""
    noise = Image.merge("RGB", [Image.effect_noise((2600, 2600), 200) for _ in range(3)])
    content = encode(noise, "PNG", compress_level=1)
    source = inspect(content)

    assert source.is_oversized
    assert len(convert(source, content)) < CAPABILITIES[DEFAULT_MODEL].max_image_bytes


def swapped_profile() -> bytes:
    """Return the profile of a screen that swaps red and green, an unmistakable difference."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = srgb.index(b"rXYZ"), srgb.index(b"gXYZ")
    srgb[red : red + 4], srgb[green : green + 4] = srgb[green : green + 4], srgb[red : red + 4]
    return bytes(srgb)


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_profile_is_applied(image_format: str) -> None:
    """Colours are converted to sRGB, because the API may ignore profiles."""
    red = Image.new("RGB", (400, 300), "red")
    content = encode(red, image_format, icc_profile=swapped_profile(), quality=95)

    image = decode(convert(inspect(content, fit="crop"), content))

    assert is_close(image.getpixel((640, 360)), (0, 255, 0))
    assert "icc_profile" not in image.info


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns about EXIF that it cannot read
@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_damaged_exif_is_ignored(image_format: str) -> None:
    """An image whose EXIF cannot be read keeps the orientation in which it is stored."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    intact, rng = exif.tobytes(), random.Random(3)  # noqa: S311 -- not a secret
    for _ in range(100):
        damaged = bytearray(intact)
        for _ in range(3):
            damaged[rng.randrange(6, len(damaged))] = rng.randrange(256)
        content = encode(Image.new("RGB", (32, 16)), image_format, exif=bytes(damaged))

        source = inspect(content)

        assert render(source, content).size == (source.width, source.height)


def test_damaged_profile_is_ignored() -> None:
    """An image whose profile cannot be read is treated as sRGB."""
    content = encode(Image.new("RGB", (400, 300), "red"), icc_profile=b"nonsense")

    image = decode(convert(inspect(content, fit="crop"), content))

    assert is_close(image.getpixel((640, 360)), (255, 0, 0))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("RGBA", (400, 300), (255, 0, 0, 0)), id="RGBA"),
        pytest.param(Image.new("LA", (400, 300), (0, 0)), id="LA"),
    ],
)
def test_transparency_becomes_white(image: Image.Image) -> None:
    """Transparent pixels are drawn on white."""
    content = encode(image)

    for fit in ("crop", "pad"):
        assert decode(convert(inspect(content, fit=fit), content)).getpixel((640, 360)) == (
            255,
            255,
            255,
        )


def test_transparent_colour_becomes_white() -> None:
    """A transparent colour, in a palette or in the file's header, becomes white as well."""
    one = Image.new("RGB", (400, 300), "lime")
    palette = one.convert("P", palette=Image.Palette.ADAPTIVE)
    for content in (
        encode(one, transparency=(0, 255, 0)),
        encode(palette, transparency=palette.getpixel((0, 0))),
    ):
        image = decode(convert(inspect(content, fit="crop"), content))

        assert image.getpixel((640, 360)) == (255, 255, 255)


def test_transparent_colour_survives_scaling() -> None:
    """A large image's transparent colour becomes white before pixels are averaged."""
    stripes = Image.new("RGB", (2, 1), "red")
    stripes.putpixel((0, 0), (0, 255, 0))
    tile = stripes.resize((2, 2600), Image.Resampling.NEAREST)
    image = Image.new("RGB", (2600, 2600))
    for x in range(0, 2600, 2):
        image.paste(tile, (x, 0))
    content = encode(image, transparency=(0, 255, 0))

    pixel = decode(convert(inspect(content, fit="crop"), content)).getpixel((640, 360))

    assert is_close(pixel, (255, 128, 128), tolerance=16)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        pytest.param(encode(Image.new("I;16", (400, 300), 0x8000)), (128, 128, 128), id="16 bits"),
        pytest.param(encode(Image.new("L", (400, 300), 128)), (128, 128, 128), id="gray"),
        pytest.param(encode(Image.new("1", (400, 300), 1)), (255, 255, 255), id="black and white"),
        pytest.param(encode(Image.new("RGB", (400, 300), "teal").quantize()), (0, 128, 128), id="palette"),
        pytest.param(
            encode(Image.new("CMYK", (400, 300), (255, 0, 0, 0)), "JPEG", quality=95),
            (0, 255, 255),
            id="CMYK",
        ),
    ],
)
def test_every_mode_keeps_its_colour(content: bytes, colour: tuple[int, int, int]) -> None:
    """Images of every mode become eight-bit RGB."""
    image = decode(convert(inspect(content, fit="crop"), content))

    assert image.mode == "RGB"
    assert is_close(image.getpixel((640, 360)), colour)


def test_render_equals_the_converted_file() -> None:
    """The rendered image has the pixels of the hosted file, converted or not."""
    for fit in ("none", "crop"):
        content = encode(draw((400, 300)))
        source = inspect(content, fit=fit)

        hosted = decode(convert(source, content))

        assert render(source, content).tobytes() == hosted.convert("RGB").tobytes()
