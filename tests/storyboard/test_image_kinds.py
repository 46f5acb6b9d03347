import io
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image_inspection import inspect_bytes
from prefect_seedance.storyboard.image_kinds import kind_of


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    return file.getvalue()


_ERROR_PAGE = b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>"
FILES = [
    pytest.param(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC", id="HEIC"),
    pytest.param(b"\0\0\0\x24ftypmif1\0\0\0\0mif1heic" + bytes(99), "HEIC", id="HEIC of another brand"),
    pytest.param(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(99), "AVIF", id="AVIF"),
    pytest.param(b"\0\0\0\x20ftypmif1\0\0\0\0avifmif1" + bytes(99), "AVIF", id="AVIF of another brand"),
    pytest.param(b"\0\0\0\x18ftypisom" + bytes(99), "a video", id="MP4"),
    pytest.param(b"\0\0\0\x18ftypcrx " + bytes(99), "RAW", id="RAW of Canon"),
    pytest.param(b"FUJIFILMCCD-RAW 0201", "RAW", id="RAW of Fuji"),
    pytest.param(encoded("TIFF"), "TIFF", id="TIFF"),
    pytest.param(encoded("GIF"), "GIF", id="GIF"),
    pytest.param(encoded("BMP"), "BMP", id="BMP"),
    pytest.param(b"8BPS\0\1" + bytes(99), "Photoshop", id="PSD"),
    pytest.param(b"\xff\x0a" + bytes(99), "JPEG XL", id="JPEG XL"),
    pytest.param(b"%PDF-1.7\n" + bytes(99), "PDF", id="PDF"),
    pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", id="SVG"),
    pytest.param(b"<?xml version='1.0'?><!-- x -->\n<svg/>", "SVG", id="SVG with a prologue"),
    pytest.param(b"\n<!DOCTYPE html><title>Not found</title>", "HTML", id="web page"),
    pytest.param("<html>".encode("utf-16"), "HTML", id="web page in UTF-16"),
    pytest.param(_ERROR_PAGE, "XML", id="XML of a bucket"),
    pytest.param(b'{"message": "Not found"}', "JSON", id="JSON"),
    pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull", id="Git LFS"),
    pytest.param(b"/annex/objects/SHA256E-s1--1.png\n", "git annex get", id="git-annex"),
    pytest.param(b"", "empty", id="empty"),
    pytest.param(bytes(5000), "zeros", id="zeros"),
    pytest.param(b"\0\x05\x16\x07\0\2\0\0Mac OS X" + bytes(99), "AppleDouble", id="AppleDouble"),
    pytest.param(b"\x89PNG\n\x1a\n" + bytes(99), "line ends", id="PNG copied as text"),
    pytest.param(b"\xff\xd8\xff\xe0\0", "damaged", id="beginning of a JPEG"),
    pytest.param(b"PK\x03\x04" + bytes(99), "ZIP", id="ZIP"),
    pytest.param(b"data:image/png;base64,iVBO", "Base64", id="Base64"),
    pytest.param("Bilder für den Film".encode(), "a text file", id="text"),
    *(
        pytest.param(text.encode(), "a text file", id=text)
        for text in ("The wide shot", "One free hour", "Let skip this", "The moov atom", "The ftypical shot")
    ),
    pytest.param(b"Das ftypheic", "a text file", id="text about HEIC"),
    pytest.param(b"ID3 tags of the songs", "a text file", id="text about MP3"),
    pytest.param(b"\0\0\0\x08wide\0\0\x10\0mdat" + bytes(99), "a QuickTime video", id="QuickTime"),
    pytest.param(b"\x02\xfa\xf0\x80mdat" + bytes(99), "a QuickTime video", id="QuickTime of 50 MB"),
    pytest.param(b"\0\0\0\x01mdat\0\0\0\0\x10" + bytes(99), "a QuickTime video", id="QuickTime, long size"),
]


@pytest.mark.parametrize(("content", "name"), FILES)
def test_file_is_called_by_its_name(content: bytes, name: str) -> None:
    """A file under an image's name is refused as what it is, with a remedy."""
    with pytest.raises(StoryboardError) as refusal:
        inspect_bytes(content, source="dawn.png", model=DEFAULT_MODEL)

    assert str(refusal.value).startswith("dawn.png is ")
    assert name in str(refusal.value)
    assert "; " in str(refusal.value)


def test_unknown_bytes_have_no_name() -> None:
    """Bytes without a known signature are none of the known kinds."""
    assert kind_of(b"\x93\x00\xfe" * 99) is None


@pytest.mark.parametrize("name", ["dawn.png", "noon.jpg", "dusk.webp"])
def test_images_are_pictures(name: str) -> None:
    """The accepted formats are recognised by their content."""
    path = Path(__file__).parents[2] / "examples" / "lighthouse" / "images" / name

    kind = kind_of(path.read_bytes())

    assert kind is not None
    assert kind.is_picture
