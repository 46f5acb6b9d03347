"""Sounds of authors are decoded completely, and those that are cut off are refused."""

import io

import pytest

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.media import probe_media
from tests.sounds import sound


def declaring(size: int) -> io.BytesIO:
    """Return a WAV file of three seconds that declares this size of its content."""
    content = sound(3, container="wav")
    return io.BytesIO(content[:4] + size.to_bytes(4, "little") + content[8:])


@pytest.mark.parametrize("size", [0, 2**32 - 1], ids=["zero", "largest"])
def test_streamed_sounds_are_read(size: int) -> None:
    """A recorder that streams does not know the size, and declares none."""
    assert probe_media(declaring(size), longest_seconds=16).duration_seconds == 3.0


@pytest.mark.parametrize("size", [2**32 - 2, 10**6], ids=["almost the largest", "1 MB"])
def test_cut_sounds_are_refused(size: int) -> None:
    """A file that declares more than it contains is cut off."""
    with pytest.raises(IntegrityError, match=r"^It is cut off: [\d,]+ bytes are missing$"):
        probe_media(declaring(size), longest_seconds=16)
