"""Archived productions for tests of the report."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from io import BytesIO

from PIL import Image

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Intent, Outcome, Result, clip_prefix
from prefect_seedance.errors import FailKind
from prefect_seedance.film.inspections import Seams, Similarity, VideoInspection
from prefect_seedance.film.scenes import Film, Gap
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.render import render_report
from prefect_seedance.storage.store import Store
from prefect_seedance.video.facts import VideoFacts
from prefect_seedance.video.findings import Interval

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SIZE = 320, 180
STILLS = "start", "middle", "end"


class Page(HTMLParser):
    """A page parsed as a browser would: its elements and their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "dt":
            self._texts.append(" ")

    def attributes(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [found for _, attributes in self.elements if (found := attributes.get(name)) is not None]

    @property
    def text(self) -> str:
        """The whole text, with single spaces."""
        return " ".join("".join(self._texts).split())


async def render(store: Store, manifest: Manifest, *, price: Decimal | None = None) -> str:
    """Write a report, and return the HTML of its page."""
    report = await render_report(manifest, store, price_per_second=price)
    content = await store.read(report.key)
    assert content
    assert len(content) == report.size_bytes
    return content.decode()


def jpeg(colour: str, *, size: tuple[int, int] = SIZE) -> bytes:
    """Return an image of one colour as a JPEG file."""
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


async def submitted(
    store: Store,
    number: int,
    *,
    prompt: str,
    outcome: Outcome | None,
    attempts: int = 1,
    flow_run: FlowRunRef | None = None,
) -> str:
    """Record attempts at a clip that all have one outcome, and return its fingerprint."""
    fingerprint, ledger = f"{number:032x}", Ledger(store)
    for attempt_number in range(1, attempts + 1):
        request = GenerateRequest(
            input=ClipInput(mode="text-to-video", prompt=prompt, duration=4, aspect_ratio="16:9")
        )
        intent = Intent(
            fingerprint=fingerprint,
            number=attempt_number,
            name=f"clip {number}",
            production="film",
            model=DEFAULT_MODEL,
            base_url="https://api.example",
            request=request,
            asked_by="author",
            flow_run=flow_run,
            asked_at=NOW + timedelta(minutes=number),
            settles_by=NOW + timedelta(minutes=number),
        )
        attempt = await ledger.claim(intent)
        assert attempt
        if outcome:
            if outcome.result is not Result.not_started:
                attempt = await ledger.accept(attempt, f"task_{number}")
            await ledger.conclude(attempt, outcome)
    return fingerprint


async def made(
    store: Store,
    number: int,
    *,
    prompt: str = "drifting clouds",
    name: str = "",
    has_stills: bool = True,
    flow_run: FlowRunRef | None = None,
) -> Entry:
    """Archive a clip with its ledger records and stills, and return its entry; clip 2 has findings."""
    ended_at = NOW + timedelta(minutes=number, seconds=50)
    outcome = Outcome(result=Result.success, ended_at=ended_at)
    fingerprint = await submitted(store, number, prompt=prompt, outcome=outcome, flow_run=flow_run)
    inspection = inspection_of(number)
    if has_stills:
        for key, colour in zip(still_keys(number), ("navy", "teal", "gold"), strict=True):
            await store.put(key, jpeg(colour))
    facts = VideoFacts(
        container="mp4",
        width=864,
        height=496,
        duration_seconds=4.04,
        frame_rate=24.0,
        frames=97,
        video_codec="h264",
    )
    clip = Clip(
        fingerprint=fingerprint,
        name=name or f"clip {number}",
        key=f"{clip_prefix(fingerprint)}clip-{number:012x}.mp4",
        sha256=f"{number:064x}",
        size_bytes=1_234_567,
        facts=facts,
        findings=("has no sound, but sound was requested",) if number == 2 else (),
        attempt=1,
        generation_id=f"task_{number}",
        model=DEFAULT_MODEL,
        base_url="https://api.example",
        request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt=prompt, aspect_ratio="16:9")),
        archived_at=ended_at + timedelta(seconds=3),
    )
    return Entry(
        number=number,
        name=clip.name,
        fingerprint=fingerprint,
        status=ClipStatus.made,
        billed_seconds=4,
        attempt=1,
        generation_id=clip.generation_id,
        clip=clip,
        inspection=inspection if has_stills else None,
        seams=Seams(start=Similarity(ssim=0.987), next=Similarity(ssim=0.5)),
    )


def still_keys(number: int) -> list[str]:
    """Return the keys of a clip's stills."""
    return [f"{clip_prefix(f'{number:032x}')}{which}.jpg" for which in STILLS]


def inspection_of(number: int) -> VideoInspection:
    """Return the inspection of a clip; clip 2 is frozen for a while."""
    start, middle, end = still_keys(number)
    return VideoInspection(
        sha256=f"{number:064x}",
        frozen=(Interval(start_seconds=1, end_seconds=2.5),) if number == 2 else (),
        has_sound=False,
        start_still=start,
        middle_still=middle,
        end_still=end,
        inspected_at=NOW,
    )


async def failed(store: Store, number: int, *, reason: str, prompt: str = "drifting clouds") -> Entry:
    """Record a clip that failed in its second attempt, and return its entry."""
    outcome = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.content, code="NSFW")
    fingerprint = await submitted(store, number, prompt=prompt, outcome=outcome, attempts=2)
    return Entry(
        number=number,
        name=f"clip {number}",
        fingerprint=fingerprint,
        status=ClipStatus.failed,
        attempt=2,
        reason=reason,
        cause="ContentRejectedError",
    )


def manifest_of(*entries: Entry, title: str = "The film", film: Film | None = None) -> Manifest:
    """Return the manifest of a production with these entries."""
    return Manifest(
        production="film",
        title=title,
        model=DEFAULT_MODEL,
        archive="memory://film",
        began_at=NOW,
        ended_at=NOW,
        clips=entries,
        film=film,
    )


def film_with(*gaps: Gap) -> Film:
    """Return the record of a film with these gaps."""
    return Film(
        production="film",
        title="The film",
        key="productions/film/film-0123456789ab.mp4",
        stable_key="productions/film/film.mp4",
        sha256="a" * 64,
        size_bytes=9_876_543,
        duration_seconds=125.4,
        width=864,
        height=496,
        frame_rate=24,
        has_sound=True,
        join="copied",
        parts=(),
        gaps=gaps,
        recipe="r",
        joined_at=NOW,
    )
