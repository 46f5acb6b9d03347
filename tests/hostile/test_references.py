"""Videos and audio files of authors that lie, wait, or name other files."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import films
from tests.hostile.conftest import Ask
from tests.sounds import sound

_MAX_BYTES = 400_000_000
_MAX_SECONDS = 20.0


def wav(*, channels: int, rate: int, bits: int, seconds: float = 3.0) -> bytes:
    """Return a WAV file whose header has these numbers."""
    frame = channels * bits // 8
    content = bytes(min(int(rate * seconds) * frame, 1_000_000))
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * frame) % 2**32, frame % 2**16, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(content))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(content)) + b"WAVE" + chunks + content


def lying(kind: bytes, offset: int, *values: int) -> bytes:
    """Return a video of which numbers in a box are replaced."""
    clip = films.clip(1, frames=60)
    at = clip.index(kind) + 4 + offset
    return clip[:at] + struct.pack(f">{len(values)}I", *values) + clip[at + 4 * len(values) :]


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(films.clip(1, frames=60))
        file.truncate(20_000_000_000)


VIDEOS = [
    pytest.param(write(lying(b"stsz", 4, 1, 60_000_000)), "60,000,000 samples", id="samples"),
    pytest.param(write(lying(b"stts", 8, 60_000_000)), "times of 60,000,00", id="times"),
    pytest.param(write(b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n"), "is a text file", id="playlist"),
    pytest.param(write(b"ffconcat version 1.0\nfile /etc/passwd\n"), "is a text file", id="script"),
    pytest.param(os.mkfifo, "not a regular file; name a file, not a pipe or device", id="pipe"),
    pytest.param(Path.mkdir, "is a folder; name a file in it", id="folder"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), "leads out of the storyboard's", id="device"),
    pytest.param(sparse, "has 20,000,000,000 bytes; a video that is a reference may have", id="huge"),
]
SOUNDS = [
    pytest.param(write(wav(channels=65_535, rate=2**32 - 1, bits=16)), "cannot be used", id="channels"),
    pytest.param(write(wav(channels=1, rate=1, bits=8, seconds=900_000)), "has 900,000.0 s", id="slow"),
    pytest.param(write(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(5000)), "cannot be used", id="endless tag"),
    pytest.param(write(sound(3)[:40] + bytes(100_000)), "cannot be used", id="silence of zeros"),
    pytest.param(write(b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff"), "cannot be used", id="no samples"),
]


@pytest.mark.parametrize(
    ("kind", "create", "message"),
    [pytest.param("videos", *each.values, id=each.id) for each in VIDEOS]
    + [pytest.param("audios", *each.values, id=each.id) for each in SOUNDS],
)
def test_hostile_references(
    kind: str, create: Callable[[Path], object], message: str, *, command: Ask, tmp_path: Path
) -> None:
    """A hostile file is refused in one printable line, in bounded time and memory."""
    create(tmp_path / "reference")
    board = tmp_path / "board.json"
    references = {"images": ["https://example.com/a.png"], kind: ["reference"]}
    clips = [{"prompt": "waves", "references": references}]
    board.write_text(json.dumps({"defaults": {"model": "seedance-2-0"}, "clips": clips}))

    ended = command("plan", board)

    lines = ended.text.strip().splitlines()
    assert ended.code == 2
    assert message in ended.text
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert ended.seconds < _MAX_SECONDS
    assert ended.peak_bytes < _MAX_BYTES
