import asyncio
import errno
import gzip
import hashlib
import io
import logging
import random
import zlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from prefect_seedance.api import transfer
from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.download import Downloader
from prefect_seedance.errors import (
    ArchiveError,
    ConnectionFailedError,
    IntegrityError,
    LinkExpiredError,
    NoAnswerError,
    SeedanceError,
    ServerError,
    TemporaryFileError,
)

URL = "https://cdn.example/clip.mp4?signature=secret"
VIDEO = bytes(range(256)) * 40
OTHER = VIDEO[::-1] + b"and more"
LOST = httpx.ReadError("lost")

Answer = Callable[[], httpx.Response]


class Body(httpx.AsyncByteStream):
    """Bytes that arrive in chunks, optionally followed by an error."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        self.content = content
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), 1000):
            yield self.content[at : at + 1000]
        if self.error:
            raise self.error


class Slow(httpx.AsyncByteStream):
    """A chunk every ten seconds."""

    def __init__(self, chunk: bytes, *, upto: int = 100_000) -> None:
        self.chunk = chunk
        self.upto = upto

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.upto):
            await asyncio.sleep(10)
            yield self.chunk


class Script(httpx.AsyncBaseTransport):
    """Answers with one response after another, repeats the last, and records the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the next response."""
        self.requests.append(request)
        return self.answers.pop(0)() if len(self.answers) > 1 else self.answers[0]()

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [request.headers.get("Range") for request in self.requests]


def whole(
    content: bytes = VIDEO, *, upto: int | None = None, error: Exception | None = None, **headers: str | None
) -> Answer:
    """Serve a whole file; a header that is None is omitted."""
    given = {"Content-Length": str(len(content)), "ETag": '"a"'} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    said = {name: value for name, value in given.items() if value is not None}
    return lambda: httpx.Response(200, headers=said, stream=Body(content[:upto], error))


def part(content: bytes = VIDEO, *, first: int, upto: int | None = None, **headers: str) -> Answer:
    """Serve a part of a file."""
    body = content[first:upto]
    said = {"Content-Length": str(len(body)), "ETag": '"a"'}
    said["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(206, headers=said, stream=Body(body))


def responds(status: int, **headers: str) -> Answer:
    return lambda: httpx.Response(status, headers=headers)


def fails(error: Exception) -> Answer:
    def answer() -> httpx.Response:
        raise error

    return answer


async def fetch(script: Script, *, url: str = URL) -> bytes:
    """Download into a file with other content, check the digest, and return the file's content."""
    file = io.BytesIO(b"from before" * 10_000)
    async with Downloader(transport=script) as downloader:
        digest = await downloader.fetch(url, file)
    assert digest == hashlib.sha256(file.getvalue()).hexdigest()
    return file.getvalue()


@pytest.mark.parametrize(
    "answer",
    [whole(), whole(ETag=None), whole(Content_Length=None), part(first=0), whole(b"")],
    ids=["usual", "no tag", "no length", "as a part", "empty"],
)
async def test_fetches_whole_file(answer: Answer) -> None:
    """A complete download takes one request without a range."""
    script = Script(answer)

    fetched = await fetch(script)

    assert fetched in (VIDEO, b"")
    assert script.ranges == [None]


@pytest.mark.parametrize(
    ("first", "validator"),
    [
        (whole(upto=3000, error=LOST), '"a"'),
        (whole(upto=3000, error=httpx.ReadTimeout("")), '"a"'),
        (whole(upto=3000, error=httpx.RemoteProtocolError("closed")), '"a"'),
        (whole(upto=3000), '"a"'),
        (whole(upto=3000, error=LOST, Content_Length=None), '"a"'),
        (whole(upto=3000, error=LOST, Last_Modified="Sun, 22 Nov 2026 13:00:00 GMT"), '"a"'),
    ],
    ids=["reset", "timeout", "closed", "ends early", "no length", "tag and date"],
)
async def test_resumes_interrupted_downloads(first: Answer, validator: str) -> None:
    """After an interruption only the missing bytes are requested, if the file has not changed."""
    script = Script(first, part(first=3000))

    fetched = await fetch(script)

    assert fetched == VIDEO
    assert script.ranges == [None, "bytes=3000-"]
    assert script.requests[1].headers["If-Range"] == validator


async def test_resumes_by_date() -> None:
    """Without an ETag, the file's date decides whether it has changed."""
    date = "Sun, 22 Nov 2026 13:00:00 GMT"
    script = Script(
        whole(upto=3000, error=LOST, ETag=None, Last_Modified=date),
        part(first=3000, ETag="", Last_Modified=date),
    )

    assert await fetch(script) == VIDEO
    assert script.requests[1].headers["If-Range"] == date


async def test_resumes_repeatedly() -> None:
    """After each interruption only the missing bytes are requested."""
    script = Script(
        whole(upto=3000, error=LOST),
        part(first=3000, upto=5000),
        fails(LOST),
        responds(503),
        part(first=5000),
    )

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=3000-", "bytes=5000-", "bytes=5000-", "bytes=5000-"]


async def test_progress_renews_the_tries() -> None:
    """A line that breaks nine times, each time further, does not use up the tries."""
    breaks = [part(first=1000 * n, upto=1000 * (n + 1)) for n in range(1, 9)]
    script = Script(whole(upto=1000, error=LOST), *breaks, part(first=9000))

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, *(f"bytes={1000 * n}-" for n in range(1, 10))]


async def test_tries_end_without_progress() -> None:
    """After six tries that get no further than the best one, the source has failed."""
    script = Script(whole(upto=3000, error=LOST), part(first=3000, upto=5000), fails(LOST))

    with pytest.raises(NoAnswerError):
        await fetch(script)

    assert len(script.requests) == 2 + 5


@pytest.mark.parametrize("answer", ["hangs", "drips"])
async def test_stalled_sources_fail(answer: str) -> None:
    """A source that sends nothing, or next to nothing, fails within two minutes."""
    script = Script(lambda: httpx.Response(200, stream=Slow(b"" if answer == "hangs" else b"x")))
    began = asyncio.get_running_loop().time()

    with pytest.raises(
        NoAnswerError, match=r"^https://cdn\.example/clip\.mp4 sent less than 64 kB in 120 s$"
    ):
        await fetch(script)

    assert asyncio.get_running_loop().time() - began < 150


async def test_slow_sources_succeed() -> None:
    """A source that needs half an hour for a clip, and keeps sending, is read to its end."""
    script = Script(lambda: httpx.Response(200, stream=Slow(b"x" * 10_000, upto=180)))

    assert await fetch(script) == b"x" * 1_800_000


async def test_short_parts_are_continued() -> None:
    """If the server sends less than requested, the rest is requested."""
    script = Script(whole(upto=1000, error=LOST), part(first=1000, upto=9000), part(first=9000))

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=1000-", "bytes=9000-"]


async def test_accepts_unknown_totals() -> None:
    """If a part does not state the total size, its own end counts as the file's end."""
    range_ = f"bytes 3000-{len(VIDEO) - 1}/*"
    script = Script(whole(upto=3000, error=LOST), part(first=3000, Content_Range=range_))

    assert await fetch(script) == VIDEO


WEAK, DATE = 'W/"a"', "Sun, 22 Nov 2026 13:00:00 GMT"


async def test_weak_tag_resumes_by_date() -> None:
    """With a weak ETag, the file's date is the condition, which servers accept."""
    script = Script(
        whole(upto=3000, error=LOST, ETag=WEAK, Last_Modified=DATE),
        part(first=3000, ETag=WEAK, Last_Modified=DATE),
    )

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=3000-"]
    assert script.requests[1].headers["If-Range"] == DATE


@pytest.mark.parametrize("tag", [None, WEAK], ids=["none", "weak"])
async def test_resumes_by_length(tag: str | None) -> None:
    """Without a condition that servers accept, a part is used if the size of the file is the same."""
    script = Script(whole(upto=3000, error=LOST, ETag=tag), part(first=3000, ETag=tag or ""))

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=3000-"]
    assert "If-Range" not in script.requests[1].headers


async def test_starts_over_without_length() -> None:
    """Without a tag, a date and a size, parts are not combined."""
    script = Script(whole(upto=3000, error=LOST, ETag=None, Content_Length=None), whole())

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, None]


async def test_ignored_condition_is_omitted() -> None:
    """If a server sends an unchanged file again instead of a part, the next request has no condition."""
    unchanged = whole(upto=3000, error=LOST, ETag=WEAK, Last_Modified=DATE)
    script = Script(unchanged, unchanged, part(first=3000, ETag=WEAK, Last_Modified=DATE))

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=3000-", "bytes=3000-"]
    assert [request.headers.get("If-Range") for request in script.requests] == [None, DATE, None]


async def test_changed_file_starts_over() -> None:
    """If the file has changed, the server sends all of it, and it replaces the first part."""
    script = Script(
        whole(upto=3000, error=LOST),
        whole(OTHER, upto=4000, error=LOST, ETag='"b"'),
        part(OTHER, first=4000, ETag='"b"'),
    )

    assert await fetch(script) == OTHER
    assert [request.headers.get("If-Range") for request in script.requests] == [None, '"a"', '"b"']


@pytest.mark.parametrize(
    "wrong",
    [
        part(first=2000),
        part(first=3001),
        part(first=0),
        part(first=3000, Content_Range=""),
        part(first=3000, Content_Range="items 3000-10239/10240"),
        part(first=3000, Content_Range="bytes */10240"),
        part(OTHER, first=3000, ETag='"b"'),
        responds(416, **{"Content-Range": "bytes */2000"}),
        responds(416),
    ],
    ids=["earlier", "later", "whole", "no range", "not bytes", "no start", "another file", "416", "bare 416"],
)
async def test_wrong_parts_start_over(wrong: Answer) -> None:
    """A part that does not continue the received bytes is discarded with them."""
    script = Script(whole(upto=3000, error=LOST), wrong, whole(OTHER, ETag='"b"'))

    assert await fetch(script) == OTHER
    assert script.ranges == [None, "bytes=3000-", None]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (whole(upto=0), IntegrityError),
        (whole(upto=10_000, ETag=None), IntegrityError),
        (part(first=5), IntegrityError),
        (responds(416), IntegrityError),
        (responds(429), ServerError),
        (responds(500), ServerError),
        (responds(503), ServerError),
        (fails(httpx.ConnectError("refused")), ConnectionFailedError),
        (fails(httpx.ReadTimeout("")), NoAnswerError),
    ],
    ids=[
        "nothing",
        "truncated",
        "wrong part",
        "416",
        "429",
        "500",
        "503",
        "refused",
        "timeout",
    ],
)
async def test_retries_transient_errors(answer: Answer, kind: type[SeedanceError]) -> None:
    """A transient error is raised after six tries without progress, within a minute."""
    script = Script(answer)
    began = asyncio.get_running_loop().time()

    with pytest.raises(kind) as caught:
        await fetch(script)

    assert type(caught.value) is kind
    assert len(script.requests) == 6
    assert asyncio.get_running_loop().time() - began < 60


@pytest.mark.parametrize("status", [202, 204, 400, 401, 403, 404, 409, 410, 423, 425], ids=str)
async def test_expired_links_are_final(status: int) -> None:
    """A link that is not served is not requested again."""
    script = Script(responds(status))

    with pytest.raises(
        LinkExpiredError, match=rf"^https://cdn\.example/clip\.mp4 is not served \({status}\)$"
    ):
        await fetch(script)

    assert len(script.requests) == 1


async def test_links_may_expire_meanwhile() -> None:
    """A link may expire during a download."""
    script = Script(whole(upto=3000, error=LOST), responds(403))

    with pytest.raises(LinkExpiredError):
        await fetch(script)

    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [304, 405, 451], ids=str)
async def test_other_refusals_are_final(status: int) -> None:
    """An error that is not transient is raised without a retry."""
    script = Script(responds(status))

    with pytest.raises(ArchiveError, match=str(status)):
        await fetch(script)

    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("", gzip.compress),
        ("aws-chunked", bytes),
        ("br", bytes),
    ],
    ids=["gzip", "deflate", "gzip without header", "foreign word", "video in spite of header"],
)
async def test_decodes_compressed_files(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """A file that a server compresses unasked is decoded, and its digest is that of the video."""
    video = b"\0\0\0\x18ftypisom" + VIDEO
    body = encode(video)
    script = Script(whole(body, Content_Encoding=encoding, ETag=None))

    assert await fetch(script) == video
    assert script.requests[0].headers["Accept-Encoding"] == "identity"


async def test_resumes_compressed_files() -> None:
    """The parts of a compressed file are combined before it is decoded."""
    body = gzip.compress(random.Random(7).randbytes(9000))  # noqa: S311 -- bytes that hardly compress
    script = Script(
        whole(body, upto=3000, error=LOST, Content_Encoding="gzip"),
        part(body, first=3000, Content_Encoding="gzip"),
    )

    assert await fetch(script) == gzip.decompress(body)


async def test_damaged_compression_is_incomplete() -> None:
    """A compressed file that ends early is an error."""
    with pytest.raises(IntegrityError, match="compressed, and it is incomplete"):
        await fetch(Script(whole(gzip.compress(VIDEO)[:-9], Content_Encoding="gzip")))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_stops_compressed_bombs(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """A small file that expands beyond the size of any clip is refused."""
    monkeypatch.setattr(transfer, "MAX_CLIP_BYTES", 50_000)
    bomb = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(10**7))

    with pytest.raises(ArchiveError, match="cannot be a clip"):
        await fetch(Script(whole(bomb, Content_Encoding=encoding)))


async def test_follows_redirects() -> None:
    """Redirects are followed, and a resumed download starts at the original URL."""
    moved = responds(302, Location="https://edge.example/clip.mp4")
    script = Script(moved, whole(upto=3000, error=LOST), moved, part(first=3000))

    assert await fetch(script) == VIDEO
    assert [request.url.host for request in script.requests] == ["cdn.example", "edge.example"] * 2
    assert script.ranges[3] == "bytes=3000-"


async def test_endless_redirects_end() -> None:
    """A redirect to itself ends with an error."""
    with pytest.raises(NoAnswerError, match="TooManyRedirects"):
        await fetch(Script(responds(302, Location=URL)))


@pytest.mark.parametrize(
    "url", ["", "clip.mp4", "ftp://cdn.example/a", "https://", "https://[::1", "http://cdn.example:99999/a", "http://xn--/"],
    ids=lambda url: url or "empty",
)  # fmt: skip
async def test_rejects_invalid_urls(url: str) -> None:
    """A result URL that no request can be sent to is an error of the archive."""
    script = Script(whole())

    with pytest.raises(ArchiveError, match=r"not an http\(s\) URL"):
        await fetch(script, url=url)

    assert script.requests == []


@pytest.mark.parametrize("length", [None, str(10**9)], ids=["no length", "length"])
async def test_stops_endless_files(monkeypatch: pytest.MonkeyPatch, length: str | None) -> None:
    """An endless stream does not fill the disk."""
    monkeypatch.setattr(transfer, "MAX_CLIP_BYTES", 5000)
    script = Script(whole(Content_Length=length))

    with pytest.raises(ArchiveError, match="cannot be a clip"):
        await fetch(script)

    assert len(script.requests) == 1


class FullDisk(io.BytesIO):
    """A file on a full disk."""

    def write(self, content: object) -> int:
        """Refuse."""
        raise OSError(errno.ENOSPC, f"No space left on device for {type(content).__name__}")


async def test_reports_full_disks() -> None:
    """If the file cannot be written, an error of this package is raised without a retry."""
    script = Script(whole())

    async with Downloader(transport=script) as downloader:
        with pytest.raises(TemporaryFileError, match="No space left"):
            await downloader.fetch(URL, FullDisk())

    assert len(script.requests) == 1


async def test_sends_no_credentials() -> None:
    """A request has no key, and asks for the file without compression."""
    script = Script(whole())

    await fetch(script)

    assert "Authorization" not in script.requests[0].headers
    assert script.requests[0].headers["Accept-Encoding"] == "identity"
    assert str(script.requests[0].url) == URL


@pytest.mark.parametrize(
    "answer",
    [fails(LOST), responds(500), responds(403), responds(405), whole(upto=0), responds(416)],
    ids=["lost", "500", "403", "405", "truncated", "416"],
)
async def test_errors_hide_signatures(answer: Answer) -> None:
    """Errors do not contain the URL's signature, which would let a reader fetch the video."""
    with pytest.raises(SeedanceError) as caught:
        await fetch(Script(answer))

    assert "secret" not in str(caught.value)


async def test_cancelling_frees_connections(caplog: pytest.LogCaptureFixture) -> None:
    """Cancelled downloads do not block others."""
    caplog.set_level(logging.ERROR)
    hanging = Body(VIDEO, LOST)
    script = Script(lambda: httpx.Response(200, stream=hanging))

    async with Downloader(transport=script) as downloader:
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(downloader.fetch(URL, io.BytesIO()), timeout=0.2)
        script.answers = [whole()]
        async with asyncio.timeout(1):
            await downloader.fetch(URL, io.BytesIO())

    assert not caplog.records


LOCAL = HostPolicy(allow_loopback=True)


async def test_resumes_over_a_real_connection() -> None:
    """If a real server closes the connection during a download, the rest is requested."""
    heads: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        if len(heads) == 1:
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 10240\r\n\r\n' + VIDEO[:4000])
        else:
            writer.write(
                b'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\nContent-Length: 6240\r\n'
                b"Content-Range: bytes 4000-10239/10240\r\n\r\n" + VIDEO[4000:]
            )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    file = io.BytesIO()
    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as listening,
        Downloader(LOCAL) as downloader,
    ):
        port = listening.sockets[0].getsockname()[1]
        digest = await downloader.fetch(f"http://127.0.0.1:{port}/clip.mp4", file)
        await asyncio.gather(*filter(None, serving))

    assert file.getvalue() == VIDEO
    assert digest == hashlib.sha256(VIDEO).hexdigest()
    assert b'Range: bytes=4000-\r\nIf-Range: "a"' in heads[1]
