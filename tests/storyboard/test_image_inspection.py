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
from prefect_seedance.storyboard import image_fit
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import (
    MAX_IMAGE_BYTES,
    check_size,
    inspect_bytes,
    inspect_file,
)
from prefect_seedance.storyboard.image_reader import MAX_PIXELS

_MODEL_LIMIT = CAPABILITIES[DEFAULT_MODEL].max_image_bytes


def encode(image_format: str, *, frames: int = 1) -> bytes:
    """Return the bytes of an image of noise, which compresses badly, so that truncation damages it."""
    noise = random.Random(1).randbytes(32 * 18 * 3)  # noqa: S311 -- not a secret
    still, *others = [Image.frombytes("RGB", (32, 18), noise[n:] + noise[:n]) for n in range(frames)]
    file = io.BytesIO()
    still.save(file, image_format, lossless=True, save_all=frames > 1, append_images=others)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    ("written_as", "format_"),
    [
        pytest.param("JPEG", "JPEG", id="JPEG"),
        pytest.param("PNG", "PNG", id="PNG"),
        pytest.param("WEBP", "WEBP", id="WebP"),
        pytest.param("MPO", "JPEG", id="JPEG of a phone, with further views"),
    ],
)
def test_inspection_records_the_facts(tmp_path: Path, written_as: str, format_: str) -> None:
    """A local image is identified by its content, whatever its suffix."""
    file = tmp_path / "dawn 50%25?.dat"
    file.write_bytes(encode(written_as, frames=2 if written_as == "MPO" else 1))

    image = inspect_file(file, model=DEFAULT_MODEL)

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert image == SourceImage(
        source=str(file),
        sha256=digest,
        format=format_,
        width=32,
        height=18,
        size_bytes=file.stat().st_size,
    )
    assert (image.is_local, image.identity, image.stem) == (True, f"sha256:{digest}", "dawn 50%25?")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param(encode("GIF"), ["is a GIF image; save the image as JPEG, PNG or WEBP"], id="GIF"),
        pytest.param(encode("BMP"), ["is a BMP image"], id="BMP"),
        pytest.param(b"", ["is an empty file"], id="empty"),
        pytest.param(b"<html>404</html>", ["is a web page (HTML); download the image"], id="HTML"),
        pytest.param(encode("JPEG")[:-200], ["damaged JPEG", "export it again"], id="truncated JPEG"),
        pytest.param(encode("PNG")[:-200], ["damaged PNG"], id="truncated PNG"),
        pytest.param(encode("WEBP")[:-200], ["image"], id="truncated WebP"),
        pytest.param(
            encode("PNG") + bytes(MAX_IMAGE_BYTES),
            ["has 100,00", "the limit is 100,000,000", "Save a smaller file"],
            id="more than 100 MB",
        ),
        pytest.param(encode("GIF") + bytes(11_000_000), ["is a GIF image"], id="11 MB of another format"),
        pytest.param(bytes(11_000_000), ["is a file of zeros"], id="11 MB of zeros"),
        pytest.param(
            encode("WEBP", frames=2),
            ["is animated", "save the one frame"],
            id="animated WebP",
        ),
        pytest.param(
            encode("PNG", frames=2),
            ["is animated"],
            id="animated PNG",
        ),
    ],
)
def test_unacceptable_file_is_refused(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    """A file that the model would reject is refused before the upload, with its path and a remedy."""
    file = tmp_path / "dawn.png"
    file.write_bytes(content)

    with pytest.raises(StoryboardError) as raised:
        inspect_file(file, model=DEFAULT_MODEL)

    assert str(raised.value).startswith(str(file))
    assert [part for part in parts if part not in str(raised.value)] == []


@pytest.mark.parametrize(
    ("excess", "is_oversized"),
    [pytest.param(0, False, id="at the limit"), pytest.param(1, True, id="a byte above")],
)
def test_oversized_file_is_reduced(tmp_path: Path, excess: int, is_oversized: bool) -> None:  # noqa: FBT001 -- a column
    """A file at the model's limit is hosted unchanged; a larger one is converted."""
    file = tmp_path / "dawn.png"
    content = encode("PNG")
    file.write_bytes(content + bytes(_MODEL_LIMIT - len(content) + excess))

    image = inspect_file(file, model=DEFAULT_MODEL)

    assert (image.size_bytes, image.is_oversized) == (_MODEL_LIMIT + excess, is_oversized)
    assert (image.converted_size is None) is not is_oversized


@pytest.mark.parametrize(
    "width",
    [
        pytest.param(MAX_PIXELS // 1000 + 1, id="above our limit"),
        pytest.param(100_000, id="Pillow warns"),
        pytest.param(400_000, id="Pillow refuses"),
    ],
)
def test_decompression_bomb_is_refused(tmp_path: Path, width: int) -> None:
    """A small file with too many pixels is refused before they are decoded."""
    file = tmp_path / "bomb.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )

    with pytest.raises(StoryboardError, match=r"more than 64,000,000|not an image"):
        inspect_file(file, model=DEFAULT_MODEL)


def _png_with(*chunks: bytes) -> bytes:
    whole = encode("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3_000_000)))], id="packed text"),
        pytest.param([chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000)], id="text"),
        pytest.param([chunk(b"iTXt", b"w\0\1\0\0\0" + zlib.compress(bytes(3_000_000)))], id="Unicode text"),
        pytest.param([chunk(b"tEXt", b"w\0" + b"x" * 400_000)] * 200, id="many texts"),
        pytest.param([chunk(b"zTXt", b"w\0\0" + zlib.compress(bytes(400_000)))] * 200, id="packed texts"),
        pytest.param([chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(3_000_000)))], id="profile"),
        pytest.param([chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000)))], id="huge profile"),
        pytest.param([chunk(b"iCCP", b"icc\0\0" + bytes(99))], id="damaged profile"),
        pytest.param([chunk(b"eXIf", b"MM\0*" + bytes(3_000_000))], id="EXIF"),
    ],
)
def test_large_metadata_does_not_matter(chunks: list[bytes]) -> None:
    """Programs store whole workflows in an image, and viewers show it."""
    content = _png_with(*chunks)

    image = inspect_bytes(content, source="dawn.png", model=DEFAULT_MODEL)

    assert (image.width, image.height, image.size_bytes) == (32, 18, len(content))
    assert image_fit.render(image, content).size == (image.converted_size or (32, 18))


def test_small_metadata_stays() -> None:
    """The orientation in a text, which is small, counts, although a large text is removed."""
    orientation = b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='6'/>".replace(b"'", b'"')
    content = _png_with(chunk(b"tEXt", b"w\0" + b"x" * 3_000_000), chunk(b"iTXt", orientation))

    image = inspect_bytes(content, source="dawn.png", model=DEFAULT_MODEL)

    assert (image.is_rotated, image.width, image.height) == (True, 18, 32)


def test_missing_file_gets_a_suggestion(tmp_path: Path) -> None:
    """The error about a missing image has the path and a file of a similar name."""
    (tmp_path / "noon.jpg").touch()

    with pytest.raises(StoryboardError) as raised:
        inspect_file(tmp_path / "non.jpg", model=DEFAULT_MODEL)

    assert str(raised.value) == f"there is no image {tmp_path / 'non.jpg'}; did you mean 'noon.jpg'?"


def test_unreadable_file_has_a_reason(tmp_path: Path) -> None:
    """An error of the operating system becomes a StoryboardError with its reason."""
    with pytest.raises(StoryboardError, match=r"cannot be read \(File name too long\)"):
        inspect_file(tmp_path / f"{'x' * 300}.png", model=DEFAULT_MODEL)


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder is not reported as a missing file."""
    with pytest.raises(StoryboardError, match="is a folder"):
        inspect_file(tmp_path, model=DEFAULT_MODEL)


@pytest.mark.parametrize("image_format", CAPABILITIES[DEFAULT_MODEL].image_formats)
def test_damaged_bytes_raise_no_other_error(tmp_path: Path, image_format: str) -> None:
    """Whatever exception the decoder raises, it becomes a StoryboardError."""
    chance = random.Random(7)  # noqa: S311 -- not a secret
    whole = encode(image_format)
    file = tmp_path / "damaged"

    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        file.write_bytes(damaged[: chance.randint(len(damaged) // 2, len(damaged))])
        try:
            inspect_file(file, model=DEFAULT_MODEL)
        except StoryboardError:
            refused += 1

    assert refused > 100


def test_bytes_have_the_same_facts(tmp_path: Path) -> None:
    """The content of a stored object gives the same facts as that of a file, except its source."""
    file = tmp_path / "dawn.png"
    file.write_bytes(encode("PNG"))

    stored = inspect_bytes(file.read_bytes(), source="s3://bucket/dawn.png", model=DEFAULT_MODEL)

    local = inspect_file(file, model=DEFAULT_MODEL)
    assert stored == local.model_copy(update={"source": "s3://bucket/dawn.png"})


def test_size_limit_names_the_source() -> None:
    """A stored object is refused by its size alone, before it is downloaded."""
    check_size(MAX_IMAGE_BYTES, source="s3://bucket/dawn.png")

    with pytest.raises(StoryboardError, match=r"^s3://bucket/dawn\.png has 100,000,001 bytes"):
        check_size(MAX_IMAGE_BYTES + 1, source="s3://bucket/dawn.png")
