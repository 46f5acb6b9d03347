import asyncio
import errno
import hashlib
import io
import logging
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from prefect_seedance.api import download
from prefect_seedance.api.download import Downloader
from prefect_seedance.errors import (
    ArchiveError,
    ConnectionFailedError,
    IntegrityError,
    LinkExpiredError,
    NoAnswerError,
    SeedanceError,
    ServerError,
)

URL = "https://cdn.example/clip.mp4?signature=secret"
VIDEO = bytes(range(256)) * 40
OTHER = VIDEO[::-1] + b"and more"
LOST = httpx.ReadError("lost")

Answer = Callable[[], httpx.Response]


class Body(httpx.AsyncByteStream):
    """Bytes that arrive in pieces and may break off."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        self.content = content
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), 1000):
            yield self.content[at : at + 1000]
        if self.error:
            raise self.error


class Script(httpx.AsyncBaseTransport):
    """Gives one answer after the other, the last for ever, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Give the next answer."""
        self.requests.append(request)
        return self.answers.pop(0)() if len(self.answers) > 1 else self.answers[0]()

    @property
    def ranges(self) -> list[str | None]:
        """What part was asked for, each time."""
        return [request.headers.get("Range") for request in self.requests]


def whole(
    content: bytes = VIDEO, *, upto: int | None = None, error: Exception | None = None, **headers: str | None
) -> Answer:
    """Serve a file from its beginning; a header that is None is left out."""
    given = {"Content-Length": str(len(content)), "ETag": '"a"'} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    said = {name: value for name, value in given.items() if value is not None}
    return lambda: httpx.Response(200, headers=said, stream=Body(content[:upto], error))


def part(content: bytes = VIDEO, *, first: int, upto: int | None = None, **headers: str) -> Answer:
    """Serve a file from a place in its middle."""
    body = content[first:upto]
    said = {"Content-Length": str(len(body)), "ETag": '"a"'}
    said["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(206, headers=said, stream=Body(body))


def says(status: int, **headers: str) -> Answer:
    return lambda: httpx.Response(status, headers=headers)


def fails(error: Exception) -> Answer:
    def answer() -> httpx.Response:
        raise error

    return answer


async def fetch(script: Script, *, url: str = URL) -> bytes:
    """Fetch into a file that was used before, check the digest, and return what is in it."""
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
    """A file that arrives undisturbed is asked for once, from its beginning."""
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
async def test_resumes_where_it_broke(first: Answer, validator: str) -> None:
    """After a broken transfer only what is missing is asked for, provided that the file is the same."""
    script = Script(first, part(first=3000))

    fetched = await fetch(script)

    assert fetched == VIDEO
    assert script.ranges == [None, "bytes=3000-"]
    assert script.requests[1].headers["If-Range"] == validator


async def test_resumes_by_date() -> None:
    """Where there is no tag, the file's date tells whether it is the same."""
    date = "Sun, 22 Nov 2026 13:00:00 GMT"
    script = Script(
        whole(upto=3000, error=LOST, ETag=None, Last_Modified=date),
        part(first=3000, ETag="", Last_Modified=date),
    )

    assert await fetch(script) == VIDEO
    assert script.requests[1].headers["If-Range"] == date


async def test_resumes_again_and_again() -> None:
    """Each break costs only what had not arrived."""
    script = Script(
        whole(upto=3000, error=LOST), part(first=3000, upto=5000), fails(LOST), says(503), part(first=5000)
    )

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=3000-", "bytes=5000-", "bytes=5000-", "bytes=5000-"]


async def test_short_parts_are_continued() -> None:
    """A server that sends less than was asked for, and says so, is asked for the rest."""
    script = Script(whole(upto=1000, error=LOST), part(first=1000, upto=9000), part(first=9000))

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, "bytes=1000-", "bytes=9000-"]


async def test_unknown_totals_are_taken() -> None:
    """A part that does not say how long the whole is ends where it says that it ends."""
    range_ = f"bytes 3000-{len(VIDEO) - 1}/*"
    script = Script(whole(upto=3000, error=LOST), part(first=3000, Content_Range=range_))

    assert await fetch(script) == VIDEO


@pytest.mark.parametrize("headers", [{"ETag": None}, {"ETag": 'W/"a"'}], ids=["none", "weak"])
async def test_starts_over_without_tag(headers: dict[str, str | None]) -> None:
    """Where nothing identifies the bytes, no two parts are put together."""
    script = Script(whole(upto=3000, error=LOST, **headers), whole())

    assert await fetch(script) == VIDEO
    assert script.ranges == [None, None]


async def test_changed_file_starts_over() -> None:
    """If the file is another by now, the server sends it whole, and nothing of the first remains."""
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
        says(416, **{"Content-Range": "bytes */2000"}),
        says(416),
    ],
    ids=["earlier", "later", "whole", "unsaid", "not bytes", "no place", "another file", "416", "bare 416"],
)
async def test_wrong_parts_start_over(wrong: Answer) -> None:
    """A part that does not follow what has arrived is thrown away with it."""
    script = Script(whole(upto=3000, error=LOST), wrong, whole(OTHER, ETag='"b"'))

    assert await fetch(script) == OTHER
    assert script.ranges == [None, "bytes=3000-", None]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (whole(upto=0), IntegrityError),
        (whole(upto=10_000, ETag=None), IntegrityError),
        (part(first=5), IntegrityError),
        (says(416), IntegrityError),
        (says(429), ServerError),
        (says(500), ServerError),
        (says(503), ServerError),
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
        "silence",
    ],
)
async def test_trouble_is_repeated(answer: Answer, kind: type[SeedanceError]) -> None:
    """What may pass is tried six times within a minute, and then told."""
    script = Script(answer)
    began = asyncio.get_running_loop().time()

    with pytest.raises(kind) as caught:
        await fetch(script)

    assert type(caught.value) is kind
    assert len(script.requests) == 6
    assert asyncio.get_running_loop().time() - began < 60


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410], ids=str)
async def test_expired_links_are_told(status: int) -> None:
    """A link that is no longer served is not asked for again; a new one has to be found."""
    script = Script(says(status))

    with pytest.raises(
        LinkExpiredError, match=rf"^https://cdn\.example/clip\.mp4 is no longer served \({status}\)$"
    ):
        await fetch(script)

    assert len(script.requests) == 1


async def test_links_expire_while_resuming() -> None:
    """A link may end in the middle of a file."""
    script = Script(whole(upto=3000, error=LOST), says(403))

    with pytest.raises(LinkExpiredError):
        await fetch(script)

    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [304, 405, 451], ids=str)
async def test_other_refusals_are_final(status: int) -> None:
    """What repeating does not mend is told at once."""
    script = Script(says(status))

    with pytest.raises(ArchiveError, match=str(status)):
        await fetch(script)

    assert len(script.requests) == 1


async def test_follows_redirects() -> None:
    """A result may lie elsewhere, and a resume begins at the URL that was given."""
    moved = says(302, Location="https://edge.example/clip.mp4")
    script = Script(moved, whole(upto=3000, error=LOST), moved, part(first=3000))

    assert await fetch(script) == VIDEO
    assert [request.url.host for request in script.requests] == ["cdn.example", "edge.example"] * 2
    assert script.ranges[3] == "bytes=3000-"


async def test_endless_redirects_end() -> None:
    """A redirect that leads to itself is given up on."""
    with pytest.raises(NoAnswerError, match="TooManyRedirects"):
        await fetch(Script(says(302, Location=URL)))


@pytest.mark.parametrize(
    "url", ["", "clip.mp4", "ftp://cdn.example/a", "https://", "https://[::1", "http://cdn.example:99999/a", "http://xn--/"],
    ids=lambda url: url or "empty",
)  # fmt: skip
async def test_refuses_what_is_no_address(url: str) -> None:
    """A result that cannot be asked for is told as such, and not as a mistake of the caller's."""
    script = Script(whole())

    with pytest.raises(ArchiveError, match="no address"):
        await fetch(script, url=url)

    assert script.requests == []


@pytest.mark.parametrize("length", [None, str(10**9)], ids=["unsaid", "said"])
async def test_stops_endless_files(monkeypatch: pytest.MonkeyPatch, length: str | None) -> None:
    """A stream without end does not fill the disk."""
    monkeypatch.setattr(download, "_LARGEST_BYTES", 5000)
    script = Script(whole(Content_Length=length))

    with pytest.raises(ArchiveError, match="larger than 5000 bytes"):
        await fetch(script)

    assert len(script.requests) == 1


class FullDisk(io.BytesIO):
    """A file that cannot grow beyond a few bytes."""

    def write(self, content: object) -> int:
        """Refuse."""
        raise OSError(errno.ENOSPC, f"No space left on device for {type(content).__name__}")


async def test_full_disk_is_told() -> None:
    """Where nothing can be written the error says so, in our words, at once."""
    script = Script(whole())

    async with Downloader(transport=script) as downloader:
        with pytest.raises(ArchiveError, match="No space left"):
            await downloader.fetch(URL, FullDisk())

    assert len(script.requests) == 1


async def test_sends_no_credentials() -> None:
    """Bytes are asked for as they are, and nobody's key goes along."""
    script = Script(whole())

    await fetch(script)

    assert "Authorization" not in script.requests[0].headers
    assert script.requests[0].headers["Accept-Encoding"] == "identity"
    assert str(script.requests[0].url) == URL


@pytest.mark.parametrize(
    "answer",
    [fails(LOST), says(500), says(403), says(405), whole(upto=0), says(416)],
    ids=["lost", "500", "403", "405", "truncated", "416"],
)
async def test_errors_hide_signatures(answer: Answer) -> None:
    """A URL's signature would let anyone who reads the message fetch the video."""
    with pytest.raises(SeedanceError) as caught:
        await fetch(Script(answer))

    assert "secret" not in str(caught.value)


async def test_cancelling_frees_the_line(caplog: pytest.LogCaptureFixture) -> None:
    """Transfers that are cancelled leave the way free for others."""
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


async def test_resumes_over_a_real_line() -> None:
    """A server that really closes its connection in the middle is asked for the rest."""
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
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening, Downloader() as downloader:
        port = listening.sockets[0].getsockname()[1]
        digest = await downloader.fetch(f"http://127.0.0.1:{port}/clip.mp4", file)
        await asyncio.gather(*filter(None, serving))

    assert file.getvalue() == VIDEO
    assert digest == hashlib.sha256(VIDEO).hexdigest()
    assert b'Range: bytes=4000-\r\nIf-Range: "a"' in heads[1]
