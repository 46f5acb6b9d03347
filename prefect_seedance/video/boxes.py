"""Check the boxes of an MP4 before FFmpeg reads them.

FFmpeg allocates an entry for every sample that a file declares: a file of 1 kB that declares 60 million takes
2 GB of memory. A sample is at least one byte of the file, so a count above the file's size is a lie.
"""

from collections.abc import Iterator
from os import SEEK_END
from typing import BinaryIO, Final, NamedTuple

from prefect_seedance.errors import IntegrityError

_HEADER_BYTES: Final = 8
_MAX_BOXES: Final = 100_000
"""A fragmented video of 12 s has some hundred boxes, and a film as many as a clip."""

_MAX_DEPTH: Final = 8
"""Levels of the containers below. A video has five."""

_CONTAINERS: Final = frozenset(
    {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"mvex"}
)

_FULL_BOX_BYTES: Final = 4
"""Version and flags, before the fields of a box that has them."""

_ENTRY_BYTES: Final = {
    b"stts": 8,
    b"ctts": 8,
    b"stsc": 12,
    b"stco": 4,
    b"co64": 8,
    b"stss": 4,
    b"elst": 12,
}
"""Size of an entry of each table. Source: ISO/IEC 14496-12, sections 8.6 and 8.7."""

_RUNS: Final = frozenset({b"stts", b"ctts"})
"""Tables whose entries begin with a number of samples."""

_TRUN_FIELDS: Final = (0x100, 0x200, 0x400, 0x800)
"""Flags of the optional fields of a sample in a fragment, of four bytes each."""


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def check_boxes(file: BinaryIO) -> None:
    """Check that an MP4 is whole, and that no box declares more than the file can contain.

    FFmpeg also accepts an MP4 that ends inside its index, and ignores the lost tracks.

    Args:
        file: A seekable one; its position is undefined afterwards.

    Raises:
        IntegrityError: The file is cut off, or declares more than it contains.
    """
    _Checker(file).check()


class _Checker:
    """Walks through the boxes of one file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, SEEK_END)
        self._boxes = 0
        self._samples = 0

    def check(self) -> None:
        self._check(0, self._size, depth=0)

    def _check(self, start: int, end: int, *, depth: int) -> None:
        for box in self._children(start, end):
            self._boxes += 1
            if self._boxes > _MAX_BOXES or depth > _MAX_DEPTH:
                raise _damaged("it has too many boxes")
            if box.kind == b"cmov":  # expands to any size, and no encoder of today writes it
                raise _damaged("its index is compressed")
            if box.kind in _CONTAINERS:
                self._check(box.start, box.end, depth=depth + 1)
            elif box.kind in {b"stsz", b"stz2"}:
                self._check_sizes(box)
            elif box.kind == b"trun":
                self._check_run(box)
            elif box.kind in _ENTRY_BYTES:
                self._check_table(box)

    def _children(self, start: int, end: int) -> Iterator[_Box]:
        """Yield the boxes in a part of the file, each of which must end in it."""
        position = start
        while position + _HEADER_BYTES <= end:
            header = self._read(position, 16)
            length, begin = int.from_bytes(header[:4]), position + _HEADER_BYTES
            if length == 1:
                length, begin = int.from_bytes(header[8:]), position + 16
            if length == 0:  # it extends to the end
                length = end - position
            if length < begin - position:
                raise IntegrityError(f"It is damaged at byte {position}")
            position += length
            if position > end:
                self._complain_cut(position - end, is_last=end == self._size)
            yield _Box(header[4:8], begin, position)
        if position < end and end == self._size and start == 0:
            raise IntegrityError(f"It is cut off inside the header of a box at byte {position}")

    def _complain_cut(self, missing_bytes: int, *, is_last: bool) -> None:
        if is_last:
            raise IntegrityError(f"It is cut off: {missing_bytes} bytes are missing")
        raise _damaged("a box is longer than the box around it")

    def _check_sizes(self, box: _Box) -> None:
        """Check the table of the samples' sizes, which is left out if all are equal."""
        fields = self._read(box.start + _FULL_BOX_BYTES, 8)
        size, count = int.from_bytes(fields[:4]), int.from_bytes(fields[4:8])
        entry_bits = size & 0xFF if box.kind == b"stz2" else 0 if size else 32
        needed = count * entry_bits // 8
        if needed > box.end - box.start - _FULL_BOX_BYTES - 8:
            raise _damaged(f"it declares {count:,} samples, more than its index contains")
        self._count(max(count, count * size if box.kind == b"stsz" else 0), declared=count)

    def _check_run(self, box: _Box) -> None:
        """Check the samples of a fragment."""
        fields = self._read(box.start, 8)
        flags, count = int.from_bytes(fields[1:4]), int.from_bytes(fields[4:8])
        needed = count * 4 * sum(bool(flags & field) for field in _TRUN_FIELDS)
        if needed > box.end - box.start:
            raise _damaged(f"it declares {count:,} samples, more than its index contains")
        self._count(count, declared=count)

    def _count(self, least_bytes: int, *, declared: int) -> None:
        """Add samples of at least so many bytes; all tracks together cannot be larger than the file."""
        self._samples += least_bytes
        if self._samples > self._size:
            raise _damaged(f"it declares {declared:,} samples, more than {self._size:,} bytes can contain")

    def _check_table(self, box: _Box) -> None:
        count = int.from_bytes(self._read(box.start + _FULL_BOX_BYTES, 4))
        first, entry = box.start + _FULL_BOX_BYTES + 4, _ENTRY_BYTES[box.kind]
        if count * entry > box.end - first:
            kind = box.kind.decode()
            raise _damaged(f"its table {kind} declares {count:,} entries, more than it contains")
        if box.kind in _RUNS:
            table = self._read(first, count * entry)
            total = sum(int.from_bytes(table[at : at + 4]) for at in range(0, len(table), entry))
            if total > self._size:
                raise _damaged(f"it declares the times of {total:,} samples, more than it can contain")

    def _read(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)


def _damaged(why: str) -> IntegrityError:
    return IntegrityError(f"It is damaged: {why}")
