import asyncio
import hashlib
import json
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import av
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore
from PIL import Image

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.archive import Archivist, Clip, find_clip, findings
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Acceptance, Attempt, Intent, Outcome, Result
from prefect_seedance.errors import (
    ArchiveError,
    DeadlineError,
    IntegrityError,
    LinkExpiredError,
    TemporaryFileError,
)
from prefect_seedance.report.manifest import status_of
from prefect_seedance.storage.backends import Backend
from prefect_seedance.storage.store import Store
from prefect_seedance.video.facts import VideoFacts

FINGERPRINT = "f" * 32
OLD, FRESH = "https://cdn/old.mp4?signature=1", "https://cdn/fresh.mp4?signature=2"
HTML = b"<html>not a video</html>"


@pytest.fixture(scope="module")
def video() -> bytes:
    """Two seconds of blue, 128 by 72."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as output:
            stream = output.add_stream("libx264", rate=12)
            stream.width, stream.height = 128, 72
            image = Image.new("RGB", (128, 72), "blue")
            for _ in range(24):
                frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # untyped in PyAV
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return Path(file.name).read_bytes()


class Web(httpx.AsyncBaseTransport):
    """Serves the given responses per file, repeating the last one, and a fresh link per status read."""

    def __init__(self, **files: list[bytes | int]) -> None:
        self.requests: list[httpx.Request] = []
        self.files = files

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await asyncio.sleep(0.1)
        if request.url.path.startswith("/api"):
            result = json.dumps({"resultUrls": [FRESH] if "fresh" in self.files else []})
            data = {"state": "success", "resultJson": result}
            return httpx.Response(200, json={"code": 200, "data": data})
        answers = self.files[Path(request.url.path).stem]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, int):
            return httpx.Response(answer)
        length = {"Content-Length": str(len(answer))}
        return httpx.Response(200, stream=httpx.ByteStream(answer), headers=length)

    @property
    def downloads(self) -> list[str]:
        return [request.url.path for request in self.requests if not request.url.path.startswith("/api")]


def succeeded(fingerprint: str = FINGERPRINT, *, age: timedelta = timedelta()) -> Attempt:
    now = datetime.now(UTC) - age
    clip_input = ClipInput(
        mode="text-to-video", prompt="a blue screen", aspect_ratio="16:9", resolution="480p"
    )
    intent = Intent(
        fingerprint=fingerprint,
        number=1,
        name="blue",
        production="screens",
        model="seedance-1-5-pro",
        base_url="https://api.apixo.ai",
        request=GenerateRequest(input=clip_input),
        asked_by="host process 7",
        asked_at=now,
        settles_by=now,
    )
    return Attempt(
        intent=intent,
        acceptance=Acceptance(generation_id="task_1", accepted_at=now),
        outcome=Outcome(result=Result.success, ended_at=now, result_urls=(OLD,)),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


@asynccontextmanager
async def archivist(web: Web, store: Store) -> AsyncIterator[Archivist]:
    async with SeedanceClient("key", transport=web) as client, Downloader(transport=web) as downloader:
        yield Archivist(store=store, client=client, downloader=downloader)


async def archived(web: Web, store: Store, *, seconds: float = 600, age: timedelta = timedelta()) -> Clip:
    async with archivist(web, store) as archiving:
        deadline = asyncio.get_running_loop().time() + seconds
        return await archiving.archive(succeeded(age=age), deadline=deadline)


async def test_archives_with_digest_and_facts(video: bytes, store: Store) -> None:
    """The archive stores the downloaded bytes, and a record with digest, format and findings."""
    clip = await archived(Web(old=[video]), store)

    assert await store.read(clip.key) == video
    assert clip.sha256 == hashlib.sha256(video).hexdigest()
    assert (clip.facts.width, clip.facts.height, clip.facts.duration_seconds) == (128, 72, 2.0)
    assert clip.findings == ("lasts 2.00 s instead of 4 s", "is 128×72, which is not 480p")
    assert await find_clip(store, FINGERPRINT) == clip


async def test_archives_only_once(video: bytes, store: Store) -> None:
    """A clip that is in the archive is returned without a request."""
    first = await archived(Web(old=[video]), store)
    web = Web(old=[video])

    again = await archived(web, store)

    assert again == first
    assert not web.requests


async def test_key_goes_to_api_only(video: bytes, store: Store) -> None:
    """The API key is never sent to the server of the results."""
    web = Web(old=[403], fresh=[video])

    await archived(web, store)

    with_key = {request.url.host for request in web.requests if "Authorization" in request.headers}
    assert with_key == {"api.apixo.ai"}


@pytest.mark.parametrize("code", [403, 404, 410])
async def test_expired_link_is_renewed(video: bytes, store: Store, code: int) -> None:
    """If a link has expired, a new status read gives another one."""
    web = Web(old=[code], fresh=[video])

    clip = await archived(web, store)

    assert await store.read(clip.key) == video
    assert web.downloads == ["/old.mp4", "/fresh.mp4"]


async def test_reads_fresh_links_once(store: Store) -> None:
    """If a fresh link of an old video fails too, the API is not asked for more links."""
    web = Web(old=[403], fresh=[403])

    with pytest.raises(LinkExpiredError, match="2 sources tried"):
        await archived(web, store, age=timedelta(hours=1))

    assert web.downloads == ["/old.mp4", "/fresh.mp4"]
    assert len(web.requests) == 3


@pytest.mark.parametrize("files", [{"old": [403]}, {"old": [403], "fresh": [403]}], ids=["none", "expired"])
async def test_raises_without_working_link(store: Store, files: dict[str, list[bytes | int]]) -> None:
    """If the API returns no working link, archiving fails and the archive stays empty."""
    with pytest.raises(LinkExpiredError):
        await archived(Web(**files), store)

    assert await store.keys("clips/") == ()


_MISSING: Mapping[str, bytes | int] = {"404": 404, "403": 403, "202": 202, "page": HTML, "empty": b""}


@pytest.mark.parametrize("answer", _MISSING.values(), ids=_MISSING)
async def test_waits_for_new_video(answer: bytes | int, video: bytes, store: Store) -> None:
    """If the file of a new video appears only after a while, it is archived."""
    clip = await archived(Web(old=[answer] * 4 + [video], fresh=[answer]), store)

    assert await store.read(clip.key) == video


async def test_waits_for_whole_video(video: bytes, store: Store) -> None:
    """If a new file is still being written, it is archived once it is whole."""
    clip = await archived(Web(old=[video[:600], video[:900], video], fresh=[video[:700]]), store)

    assert await store.read(clip.key) == video


@pytest.mark.parametrize("seconds", [600, 20], ids=["settled", "deadline"])
async def test_missing_video_ends_the_wait(seconds: float, store: Store) -> None:
    """If it does not appear within a minute and the deadline, the error does not say that it was served."""
    web, clock = Web(old=[404], fresh=[404]), asyncio.get_running_loop().time
    began = clock()

    with pytest.raises(LinkExpiredError, match=r"is not served \(404\) \(2 sources tried\)"):
        await archived(web, store, seconds=seconds)

    assert min(seconds, 60) / 2 < clock() - began < min(seconds, 60) + 1
    assert 8 <= len(web.downloads) <= 24


BROKEN = [pytest.param(slice(0, 0), id="empty"), pytest.param(slice(0, 600), id="truncated")]


@pytest.mark.parametrize("part", BROKEN)
async def test_downloads_broken_video_again(video: bytes, store: Store, part: slice) -> None:
    """Bytes that do not decode are downloaded again, and only a good video is archived."""
    web = Web(old=[video[part]], fresh=[video])

    clip = await archived(web, store)

    assert await store.read(clip.key) == video


async def test_never_archives_broken_video(video: bytes, store: Store) -> None:
    """A video that stays undecodable is no clip, but it was paid for, so it is stored beside it."""
    refused, broken = f"clips/{FINGERPRINT}/refused.mp4", video[:600]

    with pytest.raises(IntegrityError, match=refused):
        await archived(Web(old=[broken], fresh=[broken]), store)

    assert await store.keys("clips/") == (refused,)
    assert await store.read(refused) == broken


async def test_stores_videos_only(store: Store) -> None:
    """Bytes that do not begin like a video are not stored, and the error does not repeat them."""
    with pytest.raises(IntegrityError) as caught:
        await archived(Web(old=[HTML], fresh=[HTML]), store)

    assert await store.keys("clips/") == ()
    assert "not a video" not in str(caught.value)
    assert "stored as" not in str(caught.value)


async def test_recovers_video_without_record(video: bytes, store: Store) -> None:
    """A video that a crashed run stored without a record is used, even if its link has expired."""
    await store.put(f"clips/{FINGERPRINT}/clip-{hashlib.sha256(video).hexdigest()[:12]}.mp4", video)

    clip = await archived(Web(old=[403]), store)

    assert clip.sha256 == hashlib.sha256(video).hexdigest()
    assert await find_clip(store, FINGERPRINT) == clip


async def test_replaces_damaged_leftover(video: bytes, store: Store) -> None:
    """A video without a record is downloaded again if it does not match its name or does not decode."""
    cut = video[:600]
    for named in (video, cut):
        digest = hashlib.sha256(named).hexdigest()
        await store.put(f"clips/{FINGERPRINT}/clip-{digest[:12]}.mp4", cut)

    clip = await archived(Web(old=[video]), store)

    assert await store.read(clip.key) == video


async def test_checks_leftover_against_its_name(video: bytes, store: Store) -> None:
    """A good video under another video's name is not used, even though it decodes."""
    other = video + b"\0\0\0\x08free"
    await store.put(f"clips/{FINGERPRINT}/clip-{hashlib.sha256(other).hexdigest()[:12]}.mp4", video)
    web = Web(old=[other])

    clip = await archived(web, store)

    assert web.downloads == ["/old.mp4"]
    assert clip.sha256 == hashlib.sha256(other).hexdigest()
    assert await store.read(clip.key) == other


async def test_concurrent_runs_agree(video: bytes, store: Store) -> None:
    """Two runs that archive one clip at once, with different bytes, both return the recorded video."""
    padded = video + b"\0\0\0\x08free"

    clips = await asyncio.gather(archived(Web(old=[video]), store), archived(Web(old=[padded]), store))

    assert clips[0] == clips[1] == await find_clip(store, FINGERPRINT)
    content = await store.read(clips[0].key)
    assert content
    assert hashlib.sha256(content).hexdigest() == clips[0].sha256


async def test_deadline_leaves_nothing(store: Store) -> None:
    """At the deadline nothing is partly stored, and the message says how to continue."""
    with pytest.raises(DeadlineError, match="run again, or run: prefect-seedance rescue"):
        await archived(Web(old=[500], fresh=[500]), store, seconds=3)

    assert await store.keys("clips/") == ()


async def test_downloads_are_bounded(video: bytes, tmp_path: Path) -> None:
    """However many videos are ready, at most eight are downloaded at once."""
    under_way = most = 0

    class Slow(Web):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            answer = await super().handle_async_request(request)
            under_way -= 1
            return answer

    async with archivist(Slow(old=[video]), Store.open(str(tmp_path))) as archiving:
        deadline = asyncio.get_running_loop().time() + 600
        await asyncio.gather(
            *[archiving.archive(succeeded(f"{number:032}"), deadline=deadline) for number in range(30)]
        )

    assert most == 8


FAULTS = ("gone", "refused", "451", "503", "404", "loop", "html", "empty", "short", "port", "ftp", "drip")
"""Every way in which a link may fail, by the name of the file that it links to."""


class Links(httpx.AsyncBaseTransport):
    """Serves the video under the name good, lets every other link fail, and gives fresh links."""

    def __init__(self, video: bytes, *, fresh: Sequence[str]) -> None:
        self.video = video
        self.fresh = fresh

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api"):
            data = {"state": "success", "resultJson": json.dumps({"resultUrls": self.fresh})}
            return httpx.Response(200, json={"code": 200, "data": data})
        name = Path(request.url.path).stem
        if name in {"gone", "refused"}:
            raise httpx.ConnectError("Name or service not known" if name == "gone" else "refused")
        if name.isdecimal():
            return httpx.Response(int(name))
        targets = {"loop": str(request.url), "port": "https://cdn:99999/a", "ftp": "ftp://cdn/a"}
        if name in targets:
            return httpx.Response(302, headers={"Location": targets[name]})
        if name == "drip":
            return httpx.Response(200, stream=Drip(), headers={"Content-Length": "1000000"})
        if request.url.scheme == "ftp":
            raise httpx.UnsupportedProtocol("ftp")
        if request.url.port == 99_999:
            raise OverflowError("getsockaddrarg: port must be 0-65535.")
        contents = {"html": HTML, "empty": b"", "short": self.video[:-50], "good": self.video}
        length = {"Content-Length": str(len(self.video if name == "short" else contents[name]))}
        return httpx.Response(200, stream=httpx.ByteStream(contents[name]), headers=length)


class Drip(httpx.AsyncByteStream):
    """A byte a second, for much longer than any deadline."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"\0"
            await asyncio.sleep(1)


def linked(*names: str, expires_in: timedelta = timedelta(days=15)) -> Attempt:
    """Return a successful attempt whose recorded links have these names."""
    attempt = succeeded()
    assert attempt.outcome
    changes = {"result_urls": _urls(names), "expires_at": datetime.now(UTC) + expires_in}
    return attempt.model_copy(update={"outcome": attempt.outcome.model_copy(update=changes)})


def _urls(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"https://cdn/{name}.mp4?signature={number}" for number, name in enumerate(names))


async def archived_from(
    attempt: Attempt, transport: httpx.AsyncBaseTransport, store: Store, *, seconds: float = 3600
) -> Clip:
    """Archive an attempt."""
    async with (
        SeedanceClient("key", transport=transport) as client,
        Downloader(transport=transport) as downloader,
    ):
        archiving = Archivist(store=store, client=client, downloader=downloader)
        return await archiving.archive(attempt, deadline=asyncio.get_running_loop().time() + seconds)


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_link_stops_no_other(fault: str, video: bytes, store: Store) -> None:
    """Whatever is wrong with the first of two links, the second is used."""
    clip = await archived_from(linked(fault, "good"), Links(video, fresh=()), store)

    assert await store.read(clip.key) == video


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_links_are_renewed(fault: str, video: bytes, store: Store) -> None:
    """Whatever is wrong with the recorded link, a fresh one is used."""
    clip = await archived_from(linked(fault), Links(video, fresh=_urls(["good"])), store)

    assert await store.read(clip.key) == video


@given(data=st.data())
@settings(max_examples=40)
async def test_one_good_link_suffices(data: st.DataObject, video: bytes) -> None:
    """Any recorded and fresh links of which one is good end with an archived video."""
    names = data.draw(st.lists(st.sampled_from(FAULTS), max_size=5))
    names.insert(data.draw(st.integers(0, len(names))), "good")
    recorded = data.draw(st.integers(0, len(names)))
    store = Store.open(f"memory://{uuid4()}")
    links = Links(video, fresh=_urls(names[recorded:]))

    clip = await archived_from(linked(*names[:recorded]), links, store)

    assert await store.read(clip.key) == video


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("gone", ArchiveError), ("503", ArchiveError), ("port", ArchiveError), ("html", IntegrityError)],
)
async def test_all_links_failing_says_until_when(
    fault: str, kind: type[ArchiveError], video: bytes, store: Store
) -> None:
    """If no link works, the error counts them, and says until when and how to archive the clip."""
    attempt = linked(fault, fault)
    assert attempt.outcome
    assert attempt.outcome.expires_at
    until = f"{attempt.outcome.expires_at:%Y-%m-%d %H:%M} UTC"

    with pytest.raises(kind) as caught:
        await archived_from(attempt, Links(video, fresh=_urls([fault])), store)

    assert type(caught.value) is kind
    assert "3 sources tried" in str(caught.value)
    assert str(caught.value).endswith(
        f"its link expires at {until}; before then, run again, or run: prefect-seedance rescue {store.url}"
    )


class Forgotten(Links):
    """An API that has forgotten the generation, or is down."""

    def __init__(self, code: int) -> None:
        super().__init__(b"", fresh=())
        self.code = code

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api"):
            return httpx.Response(self.code, json={"code": self.code, "message": "task not found"})
        return await super().handle_async_request(request)


@pytest.mark.parametrize("code", [401, 404, 500])
async def test_failed_status_read_is_a_remark(code: int, store: Store) -> None:
    """If the API gives no fresh links, the failure of the recorded one decides, and the API's is added."""
    with pytest.raises(LinkExpiredError, match=rf"\(404\) \(1 source tried; no new link: .*{code}"):
        await archived_from(linked("404"), Forgotten(code), store)


@pytest.mark.parametrize("fault", ["gone", "404", "503", "html"])
async def test_past_its_lifetime_is_lost(fault: str, store: Store) -> None:
    """If no link works after the API's lifetime of results, the error says that the video is lost."""
    attempt = linked(fault, expires_in=timedelta(days=-1))

    with pytest.raises(LinkExpiredError, match="blue is lost: the API kept its video until") as caught:
        await archived_from(attempt, Forgotten(404), store)

    assert status_of(attempt, caught.value) is ClipStatus.failed


async def test_past_its_lifetime_may_work(video: bytes, store: Store) -> None:
    """A link that works longer than promised is used."""
    clip = await archived_from(linked("good", expires_in=timedelta(days=-1)), Links(video, fresh=()), store)

    assert await store.read(clip.key) == video


async def test_drip_leaves_time_for_others(video: bytes, store: Store) -> None:
    """A host that sends a byte a second does not use up the deadline of an hour."""
    began = asyncio.get_running_loop().time()

    await archived_from(linked("drip", "good"), Links(video, fresh=()), store)

    assert asyncio.get_running_loop().time() - began < 300


async def test_keeps_what_arrived(video: bytes, store: Store) -> None:
    """A video that does not decode is stored, although the last link serves nothing."""
    with pytest.raises(LinkExpiredError, match=f"are stored as .*{FINGERPRINT}/refused.mp4"):
        await archived_from(linked("good", "404"), Links(video[:600], fresh=()), store)

    assert await store.read(f"clips/{FINGERPRINT}/refused.mp4") == video[:600]


async def test_tries_sixteen_links(store: Store) -> None:
    """Of an answer with very many links, the first ones are tried."""
    links = Links(b"", fresh=())

    with pytest.raises(ArchiveError, match=r"\(16 sources tried\)"):
        await archived_from(linked(*["404"] * 5000), links, store)


async def test_checks_the_stored_size(video: bytes) -> None:
    """If the storage lost what was written, no record is written and the error asks to run again."""
    reader, writer = MemoryStore(), MemoryStore()
    store = Store(Backend(url="memory://losing", reader=reader, writer=writer))

    with pytest.raises(
        ArchiveError, match="does not have the size of the video; run again to store it again"
    ):
        await archived(Web(old=[video]), store)

    written = [meta["path"] for page in writer.list() for meta in page]
    assert [key.endswith(".mp4") for key in written] == [True]


async def test_reports_unwritable_archive(video: bytes, store: Store, tmp_path: Path) -> None:
    """If the video cannot be stored, the error names the place."""
    (tmp_path / "clips").write_text("a file where a folder should be")

    with pytest.raises(ArchiveError, match=f"Could not .* {tmp_path}/clips"):
        await archived(Web(old=[video]), store)


@contextmanager
def full_disk(*, after_bytes: int) -> Iterator[None]:
    """Limit the size of this process's files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_reports_full_disk(video: bytes, store: Store) -> None:
    """On a full disk nothing is partly stored, and the error names the cause."""
    web = Web(old=[video], fresh=[video])
    with full_disk(after_bytes=len(video) // 2), pytest.raises(TemporaryFileError, match="File too large"):
        await archived(web, store)

    assert await store.keys("clips/") == ()
    assert web.downloads == ["/old.mp4"]  # another source would not help
    clip = await archived(Web(old=[video]), store)
    assert await store.read(clip.key) == video


async def test_reports_damaged_record(store: Store) -> None:
    """A record that cannot be read is an error with its remedy, not a missing clip."""
    await store.create(f"clips/{FINGERPRINT}/clip.json", b"{")

    with pytest.raises(ArchiveError, match="delete it, and the next run makes it again from the stored"):
        await find_clip(store, FINGERPRINT)


def _facts(**changed: object) -> VideoFacts:
    usual = {
        "container": "mp4",
        "width": 864,
        "height": 496,
        "duration_seconds": 4.0,
        "frame_rate": 24,
        "frames": 96,
        "video_codec": "h264",
        "audio_codec": None,
    }
    return VideoFacts.model_validate({**usual, **changed})


FINDINGS = [
    pytest.param({}, {}, (), id="as requested"),
    pytest.param({}, {"duration_seconds": 4.2}, (), id="nearly as long"),
    pytest.param({}, {"duration_seconds": 5.0}, ("lasts 5.00 s instead of 4 s",), id="longer"),
    pytest.param(
        {}, {"width": 496}, ("is 496×496, which is not 16:9", "is 496×496, which is not 480p"), id="square"
    ),
    pytest.param({"resolution": "720p"}, {}, ("is 864×496, which is not 720p",), id="smaller"),
    pytest.param({"aspect_ratio": "adaptive", "resolution": "4k"}, {}, (), id="of a newer version"),
    pytest.param({"aspect_ratio": "16:0"}, {}, (), id="no ratio"),
    pytest.param({"sound": True}, {}, ("has no sound, but sound was requested",), id="silent"),
    pytest.param(
        {}, {"audio_codec": "aac"}, ("has an audio track, but no sound was requested",), id="with sound"
    ),
]


@pytest.mark.parametrize(("requested", "facts", "expected"), FINDINGS)
def test_findings(requested: dict[str, object], facts: dict[str, object], expected: tuple[str, ...]) -> None:
    """Every difference between video and request is a finding."""
    usual = {"mode": "text-to-video", "prompt": "a", "aspect_ratio": "16:9", "resolution": "480p"}

    assert findings(ClipInput.model_validate({**usual, **requested}), _facts(**facts)) == expected
