"""Pictures that start programs, fill the memory, block, or are none."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.cli import main
from prefect_seedance.errors import StoryboardError
from prefect_seedance.film.seams import _decoded
from prefect_seedance.report.thumbnails import decode
from prefect_seedance.storyboard.image_inspection import inspect_bytes, inspect_file
from tests.processes import BIN

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 16 16
%%EndComments
(%pipe%touch MARKER) (w) file closefile showpage
%%EOF
"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, more: bytes = b"") -> bytes:
    """Return a PNG that declares a size, with almost no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + pixels + chunk(b"IEND", b"")


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    return file.getvalue()


NO_IMAGE = "is not an image that can be decoded; save it as JPEG, PNG or WEBP"
PICTURES = [
    pytest.param(EPS, "is a PostScript file; save the image as JPEG, PNG or WEBP", id="PostScript"),
    pytest.param(encoded("GIF"), "is a GIF image", id="GIF"),
    pytest.param(encoded("TIFF"), "is a TIFF image", id="TIFF"),
    pytest.param(encoded("BMP"), "is a BMP image", id="BMP"),
    pytest.param(encoded("ICO"), "is an icon", id="icon"),
    pytest.param(encoded("PDF"), "is a PDF document", id="PDF"),
    pytest.param(encoded("PPM"), "is a PPM image", id="PPM"),
    pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing", id="SVG"),
    pytest.param(b"\xff\xd8\xff", "is damaged: it begins as a JPEG image", id="beginning of a JPEG"),
    pytest.param(png(8001, 8000), "more than 64,000,000; scale it down", id="just too many pixels"),
    pytest.param(png(10_000, 9_000), "more than 64,000,000; scale it down", id="Pillow only warns"),
    pytest.param(png(60_000, 60_000), "more than 64,000,000 pixels; scale it down", id="3.6 gigapixels"),
    pytest.param(png(2**31 - 1, 2**31 - 1), "scale it down", id="largest declared size"),
    pytest.param(
        png(8, 8, more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))), "", id="text bomb"
    ),
    pytest.param(
        png(8, 8, more=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(80_000_000)))), "", id="profile bomb"
    ),
]


@pytest.mark.parametrize(("content", "line"), PICTURES)
def test_picture_is_refused(
    content: bytes, line: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile picture is refused in one line, without another program and without a library's warning."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StoryboardError) as refusal:
        inspect_bytes(content, source="shot.png", model=DEFAULT_MODEL)

    assert line in str(refusal.value)
    assert len(str(refusal.value)) < 300
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [row.values[0] for row in PICTURES], ids=[row.id for row in PICTURES])
def test_comparison_uses_reader(content: bytes) -> None:
    """The comparison with start images, and the report, open no more than the storyboard does."""
    assert _decoded(content) is None
    assert decode(content, width=320) is None


def test_foreign_picture_has_fewer_pixels() -> None:
    """A picture from another host is compared only if decoding it takes little memory."""
    file = io.BytesIO()
    Image.new("L", (5001, 5000)).save(file, "PNG")

    assert _decoded(file.getvalue(), max_pixels=25_000_000) is None
    assert _decoded(file.getvalue(), max_pixels=25_005_000) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes in folders")
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "folder"])
def test_irregular_file_is_refused(kind: str, tmp_path: Path) -> None:
    """A pipe or device is refused at once, although reading it would wait for ever."""
    path = tmp_path / "shot.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")

    with pytest.raises(StoryboardError, match=r"is not a regular file|is a folder"):
        inspect_file(path, model=DEFAULT_MODEL)


@pytest.mark.parametrize("name", ["shot.png", "board.yaml"])
def test_pipe_ends_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe as a storyboard, or as an image in one, ends the command with exit code 2."""
    board = tmp_path / "board.yaml"
    if name != board.name:
        board.write_text("shots: [{image: shot.png, prompt: waves}, {image: shot.png}]", encoding="utf-8")
    os.mkfifo(tmp_path / name)

    assert main(["plan", str(board)]) == 2
    assert f"{name} is not a regular file; name a file, not a pipe or device" in capsys.readouterr().err


def test_warnings_are_not_shown(tmp_path: Path) -> None:
    """A library's warning about a picture does not reach the screen."""
    metadata = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x02\0\x06\0\x06\0\0\0\0"
    Image.new("RGB", (1440, 1440)).save(tmp_path / "shot.jpg", exif=metadata)
    board = tmp_path / "board.yaml"
    board.write_text("shots: [{image: shot.jpg, prompt: waves}, {image: shot.jpg}]", encoding="utf-8")
    command = [str(BIN / "prefect-seedance"), "plan", str(board)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stderr == ""
