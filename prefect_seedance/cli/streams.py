"""Output that cannot fail: printing never decides an exit code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

_PLAIN: Final = str.maketrans(
    {
        "→": "->",
        "×": "x",
        "…": "...",
        "\u2013": "-",
        "—": "-",
        "\u2018": "'",
        "\u2019": "'",
        "“": '"',
        "”": '"',
    }
)
"""Symbols of ours and of authors, in ASCII."""


class _Stream:
    """Writes to another stream, in whose encoding every character has a replacement, until that is closed."""

    def __init__(self, stream: TextIO, *, json: bool) -> None:
        self._stream = stream
        self._json = json

    def write(self, text: str) -> int:
        """Write text; discard it if nothing reads it, or the disk is full."""
        try:
            self._stream.write(_encodable(text, self._stream.encoding or "utf-8", json=self._json))
        except OSError:
            _discard(self._stream)
        return len(text)

    def flush(self) -> None:
        """Flush the other stream."""
        try:
            self._stream.flush()
        except OSError:
            _discard(self._stream)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def tolerant_output(*, json: bool) -> Iterator[None]:
    """Let no print fail for characters that an encoding lacks, a closed pipe or a full disk.

    Args:
        json: Whether standard output is JSON, in which a replaced character stays readable for programs.
    """
    former = sys.stdout, sys.stderr
    out, error = (stream or open(os.devnull, "w", encoding="utf-8") for stream in former)  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = _Stream(out, json=json), _Stream(error, json=False)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = former


def _encodable(text: str, encoding: str, *, json: bool) -> str:
    """Return text in which each character that the encoding lacks is replaced."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_replaced(character, encoding, json=json) for character in text)
    return text


def _replaced(character: str, encoding: str, *, json: bool) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        if json:
            units = character.encode("utf-16-be", "surrogatepass")
            return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
        plain = character.translate(_PLAIN)
        return plain if plain.isascii() else "?"
    return character


def _discard(stream: TextIO) -> None:
    """Send everything that follows nowhere, so that Python does not complain at exit either."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # a stream without a file has nothing that could complain
        pass
