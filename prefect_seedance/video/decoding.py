"""Decode foreign videos in child processes, which hostile files cannot leave.

A file can make FFmpeg allocate any amount of memory, or decode for hours. A child has limits on both, and no
key or other environment of ours. A child that reaches a limit is killed, and the file is refused.

Measured on two processors: starting a child takes 1 s, once for each decoder that works at the same time;
later files take 1 ms more than in this process.
"""

import asyncio
import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, BinaryIO, Final, Generic, NamedTuple, TypeVar

from PIL import Image

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.facts import MediaFacts, VideoFacts
from prefect_seedance.video.findings import Interval, Scan
from prefect_seedance.video.limits import LENGTH_BYTES, MARKS, MAX_MEMORY_BYTES, MAX_SECONDS

_MAX_IDLE: Final = os.cpu_count() or 1
"""Children that are kept for the next files."""

_MAX_ANSWER_BYTES: Final = 128_000_000
"""Three stills, and two images to compare, of any width take less than half of it."""

_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")
"""Variables that a child receives, which hold no secrets."""


class Examination(NamedTuple):
    """The facts of a verified video, and what else one pass over it found.

    Attributes:
        scan: None if it was not wanted, or failed.
        scan_error: Why the scan failed.
    """

    facts: VideoFacts
    scan: Scan | None = None
    scan_error: str = ""


async def probe_foreign(file: BinaryIO, *, executor: Executor) -> VideoFacts:
    """Decode a whole video, and return its facts.

    Args:
        file: An open file of this machine; its position stays the same.
        executor: Whose thread waits for the child.

    Raises:
        IntegrityError: As `probe` does, or if the file needs more memory or time than a child has.
    """
    return (await _run(_Job(file, {"scan": False}, parse=_examination), executor)).facts


async def examine_foreign(file: BinaryIO, *, wants_ends: bool, executor: Executor) -> Examination:
    """Decode a whole video once, and return its facts, its findings and stills.

    Args:
        file: As for `probe_foreign`.
        wants_ends: Whether the scan has the images of the first and the last frame.
        executor: Whose thread waits for the child.

    Raises:
        IntegrityError: As `probe` does, or if the file needs more memory or time than a child has.
    """
    return await _run(_Job(file, {"scan": True, "ends": wants_ends}, parse=_examination), executor)


def probe_author_media(file: BinaryIO, *, longest_seconds: float) -> MediaFacts:
    """Decode a video or a sound that an author names, in this thread, and return its facts.

    Args:
        file: As for `probe_foreign`.
        longest_seconds: A file that is longer is not decoded completely.

    Raises:
        IntegrityError: As `probe_media` does, or if the file needs more memory or time than a child has.
    """
    return _Job(file, {"longest_seconds": longest_seconds}, parse=_media_facts).run()


FoundT = TypeVar("FoundT")

_Fields = dict[str, Any]


def _media_facts(fields: _Fields, _: Sequence[bytes]) -> MediaFacts:
    return MediaFacts.model_validate(fields["facts"])


def _examination(fields: _Fields, blobs: Sequence[bytes]) -> Examination:
    facts = VideoFacts.model_validate(fields["facts"])
    if not blobs:
        return Examination(facts, scan_error=fields.get("scan_error", ""))
    start, middle, end, *ends = blobs
    scan = Scan(
        start,
        middle,
        end,
        ends=tuple(
            Image.frombytes("RGB", tuple(size), blob)
            for size, blob in zip(fields["sizes"], ends, strict=True)
        ),
        has_sound=fields["has_sound"],
        **{name: tuple(map(Interval.model_validate, fields[name])) for name in MARKS},
    )
    return Examination(facts, scan)


async def _run(job: "_Job[FoundT]", executor: Executor) -> FoundT:
    """Decode a video of the API in a thread; if cancelled, kill the child, so that the thread ends."""
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, job.run)
    except IntegrityError as error:
        raise IntegrityError(f"{error}; run again to download it again") from error
    except asyncio.CancelledError:
        job.cancel()
        raise


class _Child:
    """A process that decodes one file after another."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        paths = os.pathsep.join(filter(None, sys.path))
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                # -P: a file in the working directory, such as av.py, is not imported.
                [sys.executable, "-P", "-m", "prefect_seedance.video.child"],
                env={**environment, "PYTHONPATH": paths},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches us only
            )

    def ask(self, request: bytes, descriptor: int) -> tuple[_Fields, tuple[bytes, ...]]:
        """Send a file, and wait for the answer.

        Raises:
            TimeoutError: There is no answer in time.
            EOFError: The child has ended.
            OSError: Likewise.
        """
        latest = time.monotonic() + MAX_SECONDS
        socket.send_fds(self._socket, [request], [descriptor])
        length = int.from_bytes(self._receive(LENGTH_BYTES, latest))
        fields = json.loads(self._receive(length, latest))
        return fields, tuple(self._receive(each, latest) for each in fields["blobs"])

    def _receive(self, size: int, latest: float) -> bytes:
        if size > _MAX_ANSWER_BYTES:
            raise EOFError
        received = bytearray()
        while len(received) < size:
            self._socket.settimeout(max(0.001, latest - time.monotonic()))
            if not (part := self._socket.recv(min(size - len(received), 1 << 20))):
                raise EOFError
            received += part
        return bytes(received)

    def kill(self) -> None:
        """End the process, so that `ask` raises in the thread that waits."""
        self._process.kill()

    def close(self) -> None:
        """End the process, and wait until it has ended."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


class _Children:
    """The children that wait for a file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def take(self) -> _Child:
        """Return a waiting child, or start one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Child()

    def put_back(self, child: _Child) -> None:
        """Keep a child for the next file, unless enough wait."""
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(child)
                return
        child.close()

    def close(self) -> None:
        """End all waiting children."""
        with self._lock:
            left, self._idle = self._idle, []
        for child in left:
            child.close()

    def _forget(self) -> None:
        """In a forked process, leave the children to the process that started them."""
        self._lock, self._idle = threading.Lock(), []


_CHILDREN: Final = _Children()


class _Job(Generic[FoundT]):
    """One file, on its way to a child and back."""

    _descriptor = -1

    def __init__(
        self, file: BinaryIO, request: _Fields, *, parse: Callable[[_Fields, Sequence[bytes]], FoundT]
    ) -> None:
        self._parse = parse
        file.flush()
        self._descriptor = os.dup(file.fileno())
        self._request = json.dumps(request).encode()
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._is_cancelled = False

    def __del__(self) -> None:
        self._close()  # a job that was cancelled before its turn never runs

    def run(self) -> FoundT:
        """Decode the file in a child, from a thread.

        Raises:
            IntegrityError: It cannot be decoded within the limits.
        """
        child = _CHILDREN.take()
        is_reusable = False
        try:
            with self._lock:
                self._child = child
                if self._is_cancelled:
                    raise IntegrityError("It was not decoded, because the run was stopped")
            fields, blobs = child.ask(self._request, self._descriptor)
            if "error" in fields:
                is_reusable = not fields["needs_memory"]
                raise _failure(fields)
            parsed = self._parse(fields, blobs)
            is_reusable = True
        except TimeoutError:
            raise IntegrityError(f"It takes more than {MAX_SECONDS:.0f} s to decode") from None
        except (EOFError, OSError, LookupError, TypeError, ValueError):
            raise IntegrityError("It stopped the decoder") from None
        else:
            return parsed
        finally:
            with self._lock:
                self._child = None
            self._close()
            if is_reusable:
                _CHILDREN.put_back(child)
            else:
                child.close()

    def cancel(self) -> None:
        """Stop decoding soon, and let the thread end."""
        with self._lock:
            self._is_cancelled = True
            if self._child:
                self._child.kill()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _failure(fields: _Fields) -> IntegrityError:
    """Return the error that a child reports."""
    if fields.get("needs_memory"):
        gigabytes = MAX_MEMORY_BYTES // 1_000_000_000
        return IntegrityError(f"It needs more than {gigabytes} GB to decode")
    return IntegrityError(str(fields["error"]))
