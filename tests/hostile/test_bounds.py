"""No answer, however large or slow, takes more memory or time than a run has."""

import tracemalloc
import zlib
from collections.abc import Mapping
from functools import cache

import pytest

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.resource import fetch
from prefect_seedance.errors import NoAnswerError
from tests.hostile.conftest import Produce, Run
from tests.hostile.wire import (
    SECRET,
    Reply,
    Web,
    bomb,
    changed,
    dripping,
    endless,
    head,
    raw,
    redirect,
    response,
    success,
)

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_CHUNKED = head(Transfer_Encoding="chunked")
_LOCAL = HostPolicy(allow_loopback=True)


@cache
def _bomb(wbits: int) -> bytes:
    return bomb(wbits=wbits)


def bombs(encoding: str, *, wbits: int = _GZIP) -> Reply:
    """Send 1 MB that decompresses to 1.1 GB."""
    return response(200, _bomb(wbits), Content_Encoding=encoding)


ANSWERS: Mapping[str, Reply] = {
    "gzip": bombs("gzip"),
    "x-gzip": bombs("x-gzip"),
    "deflate": bombs("deflate", wbits=_ZLIB),
    "raw-deflate": bombs("deflate", wbits=-zlib.MAX_WBITS),
    "gzip-twice": bombs("gzip, gzip"),
    "br": bombs("br"),
    "zstd": bombs("zstd"),
    "gzip-and-more": endless(head(Content_Encoding="gzip") + zlib.compress(b"{}", wbits=_GZIP)),
    "endless": endless(head()),
    "chunks": endless(_CHUNKED, b"1\r\n \r\n" * 10_000),
    "drip": dripping(head(Content_Length=10**6)),
    "dripping-head": dripping(b"HTTP/1.1 200 OK\r\nX: "),
    "endless-head": endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000),
    "early-hints": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "huge-length": raw(head(Content_Length=10**18) + b"{"),
    "long-length": raw(head(Content_Length="9" * 5000)),
    "nothing": raw(b""),
    "no-http": raw(SECRET * 1000),
}
"""Answers that no API gives, by name."""


FILES: Mapping[str, tuple[Reply, str]] = {
    "huge-length": (raw(head(Content_Length=10 * 2**30) + b"\0\0\0\x14ftyp"), "more than 1024 MiB"),
    "huge-part": (
        raw(head(206, Content_Range=f"bytes 0-9/{10 * 2**30}", Content_Length=10) + b"\0\0\0\x14ftypiso"),
        "more than 1024 MiB",
    ),
    "drip": (dripping(head(Content_Length=10**6)), "before the deadline"),
    "endless-head": (ANSWERS["endless-head"], "before the deadline"),
    "early-hints": (ANSWERS["early-hints"], "before the deadline"),
    "loop": (response(302, b"", Location="clip.mp4"), "before the deadline"),
}
"""Files that are no clip, and part of the reason."""


STATUSES = ("gzip", "br", "endless", "drip", "early-hints")
_MANY = "file-many"


@pytest.fixture(scope="module")
def run(produce: Produce) -> Run:
    """Run all cases of answers at once, each a clip."""
    cases: dict[str, Mapping[str, Reply]] = {f"submit-{name}": {"submit": ANSWERS[name]} for name in ANSWERS}
    return produce({**cases, **{f"status-{name}": {"status": ANSWERS[name]} for name in STATUSES}})


@pytest.fixture(scope="module")
def downloads(produce: Produce, web: Web) -> Run:
    """Run all cases of files at once, apart from the answers, which keep the processor busy."""
    cases: dict[str, Mapping[str, Reply]] = {
        f"file-{name}": {"status": success(web.url(f"file-{name}", "clip.mp4")), "clip.mp4": reply}
        for name, (reply, _) in FILES.items()
    }
    links = [web.url(_MANY, f"{number}.many") for number in range(10_000)]
    return produce({**cases, _MANY: {"status": success(*links)}})


@pytest.mark.parametrize("name", ANSWERS)
def test_submission_is_unresolved(name: str, run: Run) -> None:
    """After such an answer to a submission, a paid generation may exist."""
    clip = run.clips[f"submit-{name}"]

    assert run.ended.code == 3
    assert clip["status"] == "unresolved"
    assert len(clip["reason"].splitlines()) == 1


@pytest.mark.parametrize("name", STATUSES)
def test_status_keeps_in_flight(name: str, run: Run) -> None:
    """Such an answer to a poll says nothing, so the generation stays in flight until the deadline."""
    assert run.clips[f"status-{name}"]["status"] == "in flight"


@pytest.mark.parametrize("name", FILES)
def test_file_is_not_archived(name: str, downloads: Run) -> None:
    """Such a file leaves the clip paid and not archived."""
    clip = downloads.clips[f"file-{name}"]

    assert clip["status"] == "not archived"
    assert FILES[name][1] in clip["reason"]


def test_many_links(downloads: Run, web: Web) -> None:
    """Of 10,000 links, few are tried."""
    assert downloads.clips[_MANY]["status"] == "not archived"
    assert 0 < sum(".many" in line for line in web.requests) < 100


_BODIES = ("gzip", "deflate", "br", "endless", "chunks", "drip", "gzip-and-more")


@pytest.mark.parametrize("status", [200, 302, 404])
@pytest.mark.parametrize("name", _BODIES)
async def test_bodies_are_bounded(name: str, status: int, web: Web) -> None:
    """Of any body at most the bound is in memory, and that of a redirect or refusal is not read at all."""
    line = f"HTTP/1.1 {status} X\r\nLocation: /none/x".encode()
    web.cases["bodies"] = {"x": changed(ANSWERS[name], b"HTTP/1.1 200 X", line)}
    tracemalloc.start()
    try:
        found = await fetch(web.url("bodies", "x"), policy=_LOCAL, max_bytes=100_000, timeout_seconds=1)
        assert len(found.content) <= 100_001
    except NoAnswerError as error:
        assert len(str(error).splitlines()) == 1
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 10_000_000


def test_image_bounds(produce: Produce, web: Web, video: bytes) -> None:
    """An image that decompresses to 1.1 GB, and one that never ends, are not compared."""
    images = {
        "status": success(web.url("images", "clip.mp4")),
        "clip.mp4": response(200, video),
        "bomb.png": ANSWERS["gzip"],
        "endless.png": redirect(web.url("images", "more.png")),
        "more.png": ANSWERS["endless"],
    }

    urls = [web.url("images", "bomb.png"), web.url("images", "endless.png")]
    run = produce({"images": images}, images=urls)

    assert run.ended.code == 0
    assert str(run.clips["images"]["seams"]).count("cannot be decoded") == 2


@pytest.mark.parametrize("name", ["gzip", "br", "endless", "drip"])
def test_storyboard_bounds(name: str, produce: Produce, web: Web) -> None:
    """A storyboard that is too large or too slow is an error of the set-up."""
    case = f"board-{name}"

    run = produce({case: {"board.json": ANSWERS[name]}}, board=web.url(case, "board.json"))

    assert run.ended.code == 2


def test_many_mistakes(produce: Produce, web: Web) -> None:
    """Of 70,000 mistakes, twenty are listed, each in a short line."""
    body = b"clips: []\n" + b"".join(b"clip%d: 1\n" % number for number in range(70_000))

    run = produce({"mistakes": {"board.yaml": response(200, body)}}, board=web.url("mistakes", "board.yaml"))

    assert run.ended.code == 2
    assert "and 69,98" in run.ended.out
    assert len(run.ended.out) < 7_000
