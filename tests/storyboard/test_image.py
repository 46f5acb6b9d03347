import hashlib
import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image import _MADE_PIXELS, MOST_BYTES, MOST_PIXELS, Fitting, SourceImage

_MODELS_BYTES = CAPABILITIES[DEFAULT_MODEL].image_bytes


def painted(image_format: str, *, frames: int = 1) -> bytes:
    """Return the bytes of an image that compresses badly, so that half of it is not all of it."""
    noise = random.Random(1).randbytes(32 * 18 * 3)  # noqa: S311 -- no secret
    still, *others = [Image.frombytes("RGB", (32, 18), noise[n:] + noise[:n]) for n in range(frames)]
    file = io.BytesIO()
    still.save(file, image_format, lossless=True, save_all=frames > 1, append_images=others)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    ("written_as", "found"),
    [
        pytest.param("JPEG", "JPEG", id="JPEG"),
        pytest.param("PNG", "PNG", id="PNG"),
        pytest.param("WEBP", "WEBP", id="WebP"),
        pytest.param("MPO", "JPEG", id="phone's JPEG with further views"),
    ],
)
def test_read_records_the_facts(tmp_path: Path, written_as: str, found: str) -> None:
    """A local picture is known by its content, whatever its suffix says."""
    file = tmp_path / "dawn 50%25?.dat"
    file.write_bytes(painted(written_as, frames=2 if written_as == "MPO" else 1))

    picture = SourceImage.read(file, model=DEFAULT_MODEL)

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert picture == SourceImage(
        source=str(file),
        sha256=digest,
        format=found,
        width=32,
        height=18,
        size_bytes=file.stat().st_size,
    )
    assert (picture.is_local, picture.identity, picture.stem) == (True, f"sha256:{digest}", "dawn 50%25?")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(painted("GIF"), ["is GIF", "JPEG, PNG or WEBP", "convert it"], id="GIF"),
        pytest.param(painted("BMP"), ["is BMP"], id="BMP"),
        pytest.param(b"", ["is not a picture"], id="empty"),
        pytest.param(b"<html>404</html>", ["is not a picture"], id="HTML"),
        pytest.param(painted("JPEG")[:-200], ["broken JPEG", "export it again"], id="truncated JPEG"),
        pytest.param(painted("PNG")[:-200], ["broken PNG"], id="truncated PNG"),
        pytest.param(painted("WEBP")[:-200], ["picture"], id="truncated WebP"),
        pytest.param(
            painted("PNG") + bytes(MOST_BYTES),
            ["has 100,00", "at most 100,000,000", "save it smaller"],
            id="more than 100 MB",
        ),
        pytest.param(painted("GIF") + bytes(11_000_000), ["is GIF"], id="11 MB of another format"),
        pytest.param(bytes(11_000_000), ["is not a picture"], id="11 MB of nothing"),
        pytest.param(
            painted("WEBP", frames=2),
            ["is animated", "save the one frame"],
            id="animated WebP",
        ),
        pytest.param(
            painted("PNG", frames=2),
            ["is animated"],
            id="animated PNG",
        ),
    ],
)
def test_read_refuses_what_the_model_does(tmp_path: Path, content: bytes, says: list[str]) -> None:
    """A file that the API would refuse after an upload is refused before, with its path and a remedy."""
    file = tmp_path / "dawn.png"
    file.write_bytes(content)

    with pytest.raises(StoryboardError) as raised:
        SourceImage.read(file, model=DEFAULT_MODEL)

    assert str(raised.value).startswith(str(file))
    assert [part for part in says if part not in str(raised.value)] == []


@pytest.mark.parametrize(
    ("over", "is_heavy"), [pytest.param(0, False, id="limit"), pytest.param(1, True, id="a byte over it")]
)
def test_read_tells_what_is_too_heavy(tmp_path: Path, over: int, is_heavy: bool) -> None:  # noqa: FBT001 -- a table's column
    """The model's limit itself is sent as it is; what is over it will be made lighter."""
    file = tmp_path / "dawn.png"
    content = painted("PNG")
    file.write_bytes(content + bytes(_MODELS_BYTES - len(content) + over))

    picture = SourceImage.read(file, model=DEFAULT_MODEL)

    assert (picture.size_bytes, picture.is_heavy) == (_MODELS_BYTES + over, is_heavy)
    assert (picture.made_size is None) is not is_heavy


def test_made_pictures_are_light_enough() -> None:
    """Whatever is made is PNG of three bytes a pixel at most, which every model takes."""
    assert min(can.image_bytes for can in CAPABILITIES.values()) > 3 * _MADE_PIXELS * 1.01


@pytest.mark.parametrize("model", CAPABILITIES)
def test_fitted_sizes_are_exact(model: str) -> None:
    """A fitted picture has exactly the ratio, even sides, and the pixels of 720p, not many more."""
    for ratio in CAPABILITIES[model].aspect_ratios:
        width, height = Fitting(fit="crop", aspect_ratio=ratio).size
        wide, high = map(int, ratio.split(":"))

        assert width * high == height * wide
        assert width % 2 == height % 2 == 0
        assert 1280 * 720 <= width * height <= 1280 * 720 * 1.01


def _sized(width: int, height: int) -> SourceImage:
    return SourceImage(
        source="/boards/dawn.jpg", sha256="ab" * 32, format="JPEG", width=width, height=height, size_bytes=99
    )


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        pytest.param((1920, 1080), "16:9", id="exact"),
        pytest.param((1366, 768), "16:9", id="half a pixel too wide"),
        pytest.param((853, 480), "16:9", id="a third of a pixel too high"),
        pytest.param((70, 30), "21:9", id="ratio not in lowest terms"),
        pytest.param((500, 500), "1:1", id="square"),
    ],
)
def test_fit_leaves_what_has_the_ratio(size: tuple[int, int], ratio: str) -> None:
    """A picture of the clip's ratio stays the same picture, sent byte for byte."""
    picture = _sized(*size)

    fitted = picture.fitted("crop", aspect_ratio=ratio)

    assert fitted == picture
    assert (fitted.made_size, fitted.hosted_name) == (None, f"{'ab' * 32}.jpeg")


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        pytest.param((1921, 1080), "16:9", id="a pixel too wide"),
        pytest.param((1920, 1081), "16:9", id="a pixel too high"),
        pytest.param((864, 496), "16:9", id="as clips are"),
        pytest.param((501, 500), "1:1", id="almost square"),
    ],
)
def test_fit_makes_another_picture(size: tuple[int, int], ratio: str) -> None:
    """Other pictures get an identity of their own, which tells content and deed but no bytes."""
    picture = _sized(*size)

    crop, pad = (picture.fitted(fit, aspect_ratio=ratio) for fit in ("crop", "pad"))

    assert crop.identity == f"sha256:{'ab' * 32}#crop-{ratio}"
    assert pad.identity == f"sha256:{'ab' * 32}#pad-{ratio}"
    assert len({each.hosted_name for each in (picture, crop, pad)}) == 3
    assert picture.fitted("none", aspect_ratio=ratio) == picture


def test_turning_makes_no_other_picture() -> None:
    """What is set upright or made lighter stays the clip that was paid for, and is hosted beside it."""
    picture = _sized(4000, 3000)
    turned, heavy = (picture.model_copy(update={what: True}) for what in ("is_turned", "is_heavy"))

    assert {picture.identity, turned.identity, heavy.identity} == {f"sha256:{'ab' * 32}"}
    assert turned.made_size == heavy.made_size == (2000, 1500)
    assert turned.hosted_name == f"{'ab' * 32}-2000x1500.png"


@pytest.mark.parametrize(
    "width",
    [
        pytest.param(MOST_PIXELS // 1000 + 1, id="just too many"),
        pytest.param(100_000, id="so many that Pillow warns"),
        pytest.param(400_000, id="so many that Pillow refuses"),
    ],
)
def test_read_refuses_decompression_bombs(tmp_path: Path, width: int) -> None:
    """A small file of very many pixels is refused before they are decoded."""
    file = tmp_path / "bomb.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )

    with pytest.raises(StoryboardError, match=r"more than 64,000,000|not a picture"):
        SourceImage.read(file, model=DEFAULT_MODEL)


def test_read_names_the_path_it_looked_for(tmp_path: Path) -> None:
    """A missing image comes with the path, and with the file that was probably meant."""
    (tmp_path / "noon.jpg").touch()

    with pytest.raises(StoryboardError) as raised:
        SourceImage.read(tmp_path / "non.jpg", model=DEFAULT_MODEL)

    assert str(raised.value) == f"no such image; looked for {tmp_path / 'non.jpg'}; did you mean 'noon.jpg'?"


def test_read_tells_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    """What the system refuses is told, not raised."""
    with pytest.raises(StoryboardError, match=r"cannot be read \(File name too long\)"):
        SourceImage.read(tmp_path / f"{'x' * 300}.png", model=DEFAULT_MODEL)


def test_read_refuses_folders(tmp_path: Path) -> None:
    """A folder is no missing file."""
    with pytest.raises(StoryboardError, match="is a folder"):
        SourceImage.read(tmp_path, model=DEFAULT_MODEL)


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_damaged_bytes_raise_nothing_else(tmp_path: Path, image_format: str) -> None:
    """Whatever a decoder trips over, it comes out as an error about the picture."""
    chance = random.Random(7)  # noqa: S311 -- no secret
    whole = painted(image_format)
    file = tmp_path / "damaged"

    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        file.write_bytes(damaged[: chance.randint(len(damaged) // 2, len(damaged))])
        try:
            SourceImage.read(file, model=DEFAULT_MODEL)
        except StoryboardError:
            refused += 1

    assert refused > 100


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        pytest.param("https://example.com/images/dawn%201.png?v=2", "dawn 1", id="https"),
        pytest.param("https://example.com", "example.com", id="no path"),
        pytest.param("http://127.0.0.1:8000/dawn.png", "dawn", id="loopback address"),
        pytest.param("http://[::1]:8000/dawn.png", "dawn", id="loopback address, version 6"),
        pytest.param("http://localhost:8000/dawn.png", "dawn", id="localhost"),
    ],
)
def test_url_is_its_own_identity(url: str, stem: str) -> None:
    """What a URL serves is the API's to fetch, so the URL is what is known."""
    picture = SourceImage.at(url)

    assert picture == SourceImage(source=url)
    assert (picture.is_local, picture.identity, picture.stem) == (False, url, stem)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("http://example.com/dawn.png", "is no https URL", id="http"),
        pytest.param("http://10.0.0.1/dawn.png", "is no https URL", id="private address"),
        pytest.param("http://localhost.example.com/x.png", "is no https URL", id="almost localhost"),
        pytest.param("s3://bucket/dawn.png", "is no https URL", id="bucket"),
        pytest.param("file:///etc/passwd", "is no https URL", id="file"),
        pytest.param("data:image/png;base64,AAAA", "is no https URL", id="data"),
        pytest.param("https:///dawn.png", "is no https URL", id="no host"),
        pytest.param("https://[::1/dawn.png", "is not a URL", id="broken host"),
        pytest.param("https://example.com/a b.png", "blank", id="blank"),
        pytest.param("https://example.com/a\nb.png", "blank", id="line end"),
        pytest.param("https://me:secret@example.com/x.png", "user or password", id="password"),
        pytest.param("https://secret@example.com/x.png", "user or password", id="user"),
    ],
)
def test_url_must_be_fetchable(url: str, says: str) -> None:
    """A URL that the API cannot fetch is refused, without repeating a password."""
    with pytest.raises(StoryboardError, match=says) as raised:
        SourceImage.at(url)

    assert "secret" not in str(raised.value)
