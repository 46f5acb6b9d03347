"""Decode files in a process of its own, with limits on memory and time.

`decoding` starts it and sends it files over a socket, which is its standard input. It ends when the socket is
closed, so it does not survive the process that started it.
"""

import errno
import io
import json
import math
import os
import resource
import socket
import time
from os import SEEK_CUR, SEEK_END, SEEK_SET
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.limits import (
    LENGTH_BYTES,
    MARKS,
    MAX_MEMORY_BYTES,
    MAX_SECONDS,
    REQUEST_BYTES,
)
from prefect_seedance.video.media import probe_media
from prefect_seedance.video.probe import probe
from prefect_seedance.video.scan import Scanner

if TYPE_CHECKING:
    from typing_extensions import Buffer

_READ_BYTES: Final = 1 << 16


class Answer(NamedTuple):
    """A JSON object, and bytes that would be large in JSON."""

    fields: dict[str, Any]
    blobs: tuple[bytes, ...] = ()

    def serialize(self) -> bytes:
        """Return the answer as it is sent: length of the object, the object, and the bytes."""
        fields = json.dumps({**self.fields, "blobs": [len(blob) for blob in self.blobs]}).encode()
        return b"".join((len(fields).to_bytes(LENGTH_BYTES), fields, *self.blobs))


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side closes the connection."""
    while True:  # ends with the connection
        request, descriptors, _, _ = socket.recv_fds(connection, REQUEST_BYTES, 1)
        if not request:
            return
        used_seconds = math.ceil(time.process_time() + MAX_SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (used_seconds, resource.RLIM_INFINITY))
        try:
            connection.sendall(_answer(json.loads(request), descriptors[0]).serialize())
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def limit_memory() -> None:
    """Limit the memory that decoders can allocate, and write no core file of it.

    macOS does not enforce the limit.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: dict[str, Any], descriptor: int) -> Answer:
    file = cast(BinaryIO, io.BufferedReader(_Positioned(descriptor), _READ_BYTES))
    try:
        if "longest_seconds" in request:
            media = probe_media(file, longest_seconds=request["longest_seconds"])
            return Answer({"facts": media.model_dump(mode="json")})
        if not request["scan"]:
            return Answer({"facts": probe(file).model_dump(mode="json")})
        return _scanned(file, wants_ends=request["ends"])
    except (IntegrityError, MemoryError) as error:
        cause = error.__cause__ if isinstance(error, IntegrityError) else error
        needs_memory = isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM
        return Answer({"error": str(error), "needs_memory": needs_memory})


def _scanned(file: BinaryIO, *, wants_ends: bool) -> Answer:
    """Verify and scan a video in one pass. A video that cannot be scanned may still be whole."""
    scanner = Scanner(wants_ends=wants_ends)
    facts = probe(file, observer=scanner)
    fields: dict[str, Any] = {"facts": facts.model_dump(mode="json")}
    try:
        found = scanner.result(duration_seconds=facts.duration_seconds)
    except Exception as error:  # noqa: BLE001 -- foreign code, and the facts stand
        return Answer({**fields, "scan_error": f"{type(error).__name__}: {error}"})
    fields |= {
        "sizes": [image.size for image in found.ends],
        "has_sound": found.has_sound,
        **{name: [interval.model_dump() for interval in getattr(found, name)] for name in MARKS},
    }
    return Answer(fields, (found.start, found.middle, found.end, *(each.tobytes() for each in found.ends)))


class _Positioned(io.RawIOBase):
    """Reads a file at positions of its own: the other process shares the position of the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        read = os.preadv(self._descriptor, [buffer], self._position)
        self._position += read
        return read

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        bases = {SEEK_SET: 0, SEEK_CUR: self._position}
        base = os.fstat(self._descriptor).st_size if whence == SEEK_END else bases[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


if __name__ == "__main__":
    limit_memory()
    with socket.socket(fileno=0) as parent:
        serve(parent)
