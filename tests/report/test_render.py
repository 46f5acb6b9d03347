"""The report: a page that says what is in the archive, and nothing that somebody smuggled in."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Intent, Outcome, Result, clip_prefix
from prefect_seedance.errors import ArchiveError, FailKind
from prefect_seedance.film.join import Film, Gap
from prefect_seedance.film.seams import Interval, Seams, Similarity, VideoInspection
from prefect_seedance.report import formatting as words
from prefect_seedance.report import render as report
from prefect_seedance.report.contact_sheet import ContactSheet
from prefect_seedance.report.links import LIFETIME, Links
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.timeline import Axis, Span
from prefect_seedance.storage.store import Store
from prefect_seedance.video.probe import VideoFacts

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SIZE = 320, 180
PICTURE = Path(__file__).parents[2] / "examples/lighthouse/images/dawn.png"

NASTY = (
    "</p></article><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)> onload="alert(2)',
    "' autofocus onfocus='alert(3)",
    "{{ 7 * 7 }} {% include '/etc/passwd' %} {# gone #}",
    "<!-- --> <![CDATA[ ]]> &lt;b&gt; &amp;",
    "javascript:alert(4) https://elsewhere.example/x.png",
    "\u202ereversed\u202c \x07bell 🎬 שלום",
)
"""What people might write into prompts, to see what becomes of it."""


class Reader(HTMLParser):
    """Reads a page as a browser would: its elements, and the text in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "dt":
            self.texts.append(" ")

    def attributes(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [found for _, attributes in self.elements if (found := attributes.get(name)) is not None]

    @property
    def text(self) -> str:
        """All that can be read, with single spaces."""
        return " ".join("".join(self.texts).split())


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


def jpeg(colour: str, *, size: tuple[int, int] = SIZE) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


async def asked(store: Store, number: int, *, prompt: str, outcome: Outcome | None, tries: int = 1) -> str:
    """Record attempts at a clip, the last of which ended so, and return the fingerprint."""
    fingerprint, ledger = f"{number:032x}", Ledger(store)
    for attempt_number in range(1, tries + 1):
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
            asked_by="somebody",
            asked_at=NOW + timedelta(minutes=number),
            settles_by=NOW + timedelta(minutes=number),
        )
        attempt = await ledger.claim(intent)
        assert attempt
        if outcome:
            attempt = await ledger.accept(attempt, f"task_{number}")
            await ledger.conclude(attempt, outcome)
    return fingerprint


async def made(
    store: Store, number: int, *, prompt: str = "drifting clouds", name: str = "", seen: bool = True
) -> Entry:
    """Put a clip with its ledger and stills into the archive, and return its entry."""
    ended_at = NOW + timedelta(minutes=number, seconds=50)
    outcome = Outcome(result=Result.success, ended_at=ended_at)
    fingerprint = await asked(store, number, prompt=prompt, outcome=outcome)
    folder = clip_prefix(fingerprint)
    keys = [f"{folder}{which}.jpg" for which in ("start", "middle", "end")]
    if seen:
        for key, colour in zip(keys, ("navy", "teal", "gold"), strict=True):
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
        key=f"{folder}clip-{number:012x}.mp4",
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
    inspection = VideoInspection(
        sha256=clip.sha256,
        frozen=(Interval(start_seconds=1, end_seconds=2.5),) if number == 2 else (),
        has_sound=False,
        start_still=keys[0],
        middle_still=keys[1],
        end_still=keys[2],
        inspected_at=NOW,
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
        inspection=inspection if seen else None,
        seams=Seams(start=Similarity(ssim=0.987), next=Similarity(ssim=0.5)),
    )


async def failed(store: Store, number: int, *, reason: str, prompt: str = "drifting clouds") -> Entry:
    """Record a clip that failed at its second attempt, and return its entry."""
    outcome = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.content, code="NSFW")
    fingerprint = await asked(store, number, prompt=prompt, outcome=outcome, tries=2)
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


async def page_of(store: Store, manifest: Manifest, *, price: Decimal | None = None) -> str:
    written = await report.render_report(manifest, store, price_per_second=price)
    content = await store.read(written.key)
    assert content
    assert len(content) == written.size_bytes
    return content.decode()


# What it says


async def test_every_clip_is_told(store: Store) -> None:
    """A clip's prompt, settings, status, seams, oddities, times and digest can be read."""
    page = Reader(await page_of(store, manifest_of(await made(store, 1), await made(store, 2))))

    assert "All 2 clips are archived: 8.1 s of video." in page.text
    for said in (
        "2 clip 2 made",
        "drifting clouds 4 s · 720p · 16:9 · silent · moving camera",
        "Begins as its image 0.987 seamless",
        "Seam to the next 0.500 visible jump",
        "has no sound, but sound was requested frozen from 1.0 to 2.5 s",
        "22 Nov 2026, 12:02:50 UTC",
        "864 × 496, 4 s, 24 frames a second, h264",
        f"{2:064x}",
    ):
        assert said in page.text


async def test_missing_is_explained(store: Store) -> None:
    """A clip without a video says why, and shows what was asked for."""
    lost = await failed(store, 2, reason="NSFW. Change its prompt", prompt="a very bold prompt")
    page = Reader(await page_of(store, manifest_of(await made(store, 1), lost)))

    assert "1 of 2 clips are archived" in page.text
    assert "What is missing 2 clip 2 failed NSFW. Change its prompt" in page.text
    assert "a very bold prompt" in page.text


async def test_never_asked_is_told(store: Store) -> None:
    """A clip that nobody submitted has nothing in the ledger, and its entry all the same."""
    entry = Entry(
        number=1, name="first", fingerprint="f" * 32, status=ClipStatus.not_submitted, reason="No money"
    )

    assert "1 first not submitted No money" in Reader(await page_of(store, manifest_of(entry))).text


async def test_bill_is_the_whole_one(store: Store) -> None:
    """All that any run may have been billed counts, each clip once, at the price of a second."""
    first, lost = await made(store, 1), await failed(store, 2, reason="NSFW")
    again = first.model_copy(update={"number": 3, "billed_seconds": 0, "status": ClipStatus.reused})

    page = Reader(await page_of(store, manifest_of(first, lost, again), price=Decimal("0.052")))

    assert "Billed in all 12 s of video Billed by the last run 4 s of video" in page.text
    assert "Cost at 0.052 a second 0.624" in page.text


async def test_refused_is_not_billed(store: Store) -> None:
    """What was certainly not started costs nothing."""
    refused = Outcome(result=Result.not_started, ended_at=NOW)
    fingerprint = await asked(store, 1, prompt="clouds", outcome=refused)
    entry = Entry(number=1, name="x", fingerprint=fingerprint, status=ClipStatus.not_submitted)

    assert "Billed in all 0 s of video" in Reader(await page_of(store, manifest_of(entry))).text


async def test_film_is_on_top(store: Store) -> None:
    """The film comes first, with what is missing in it."""
    gap = Gap(number=2, name="noon", fingerprint="f", at_seconds=4, is_slated=False)
    page = Reader(await page_of(store, manifest_of(await made(store, 1), film=film_with(gap))))

    videos = [attributes for tag, attributes in page.elements if tag == "video"]
    assert videos[0]["aria-label"] == "The film The film, 2 min 5 s"
    assert page.attributes("src")[0] == "film-0123456789ab.mp4"
    assert "clip 2, noon, is missing at 4 s; the film goes on with the next" in page.text


async def test_links_are_relative(store: Store) -> None:
    """From a folder, everything is reached from where the page lies, also at another place."""
    page = Reader(await page_of(store, manifest_of(await made(store, 1))))

    folder = f"../../clips/{1:032x}"
    assert [src for src in page.attributes("src") if not src.startswith("data:")] == [
        f"{folder}/clip-{1:012x}.mp4"
    ]
    assert set(page.attributes("href")) == {
        "data:,", "#clips", "#clip-1", f"{folder}/clip-{1:012x}.mp4", "manifest.json",
    }  # fmt: skip


async def test_one_page_for_all_words(store: Store) -> None:
    """Words of one clip say so."""
    assert "The clip is archived: 4 s of video." in await page_of(store, manifest_of(await made(store, 1)))


async def test_rewriting_replaces(store: Store) -> None:
    """A page is written over the one before."""
    first = await page_of(store, manifest_of(await made(store, 1), title="Before"))
    second = await page_of(store, manifest_of(title="After"))

    assert "Before" in first
    assert "Before" not in second


# What it must not do


@pytest.mark.parametrize("words", NASTY)
async def test_words_stay_text(store: Store, words: str) -> None:
    """Whatever stands in title, name, prompt or reason is text, and makes no element or attribute."""
    plain = await page_of(store, manifest_of(await made(store, 1), await failed(store, 2, reason="no")))
    store = Store.open(f"memory://{words}")
    entries = (
        await made(store, 1, prompt=words, name=words),
        await failed(store, 2, reason=words, prompt=words),
    )
    nasty = await page_of(store, manifest_of(*entries, title=words))

    harmless, page = Reader(plain), Reader(nasty)
    shapes = [[(tag, sorted(attributes)) for tag, attributes in each.elements] for each in (harmless, page)]
    assert shapes[0] == shapes[1]
    assert page.text.count(" ".join(words.split())) >= 6


async def test_half_a_character_does_no_harm(store: Store) -> None:
    """A character that cannot be written is replaced, for one such title shall not cost the page."""
    assert "Half ?" in await page_of(store, manifest_of(await made(store, 1), title="Half \ud83c"))


async def test_policy_forbids_the_rest(store: Store) -> None:
    """Browsers are told to run no script, load nothing from elsewhere, and use our style only."""
    page = Reader(await page_of(store, manifest_of(await made(store, 1))))
    (policy,) = [each["content"] for tag, each in page.elements if each.get("http-equiv")]

    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["media-src"] == "'self' file:"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["style-src"])
    assert not [tag for tag, _ in page.elements if tag in {"script", "iframe", "object", "form", "base"}]


# Pictures


async def test_pictures_are_inside(store: Store) -> None:
    """Start and end are pictures with a name, and the middle is the video's poster; all are in the page."""
    page = Reader(await page_of(store, manifest_of(await made(store, 1))))

    images = [each for tag, each in page.elements if tag == "img"]
    assert [each["alt"] for each in images] == ["First picture of clip 1", "Last picture of clip 1"]
    inside = [*(each["src"] for each in images), *page.attributes("poster")]
    assert [str(url).partition(",")[0] for url in inside] == ["data:image/jpeg;base64"] * 3


async def test_film_has_a_face(store: Store) -> None:
    """Before it plays, the film shows its first picture; without one it is black, and plays all the same."""
    entries = [await made(store, 1), await made(store, 2)]
    whole = Reader(await page_of(store, manifest_of(*entries, film=film_with())))
    await store.put(entries[0].inspection.start_still, b"damaged")
    lacking = Reader(await page_of(store, manifest_of(*entries, film=film_with())))

    films = [
        next(each for tag, each in page.elements if tag == "video" and each.get("class") == "film")
        for page in (whole, lacking)
    ]
    assert str(films[0]["poster"]).startswith("data:image/jpeg;base64,")
    assert "poster" not in films[1]


@pytest.mark.parametrize("content", [None, b"", b"no picture", jpeg("red")[:300]])
async def test_damaged_stills_are_left_out(store: Store, content: bytes | None) -> None:
    """A still that is missing or broken leaves a gap, and the video."""
    entry = await made(store, 1, seen=False)
    if content is not None:
        await store.put(f"{clip_prefix(entry.fingerprint)}start.jpg", content)
    seen = (await made(Store.open(f"{store.url}-elsewhere"), 1)).inspection
    page = Reader(await page_of(store, manifest_of(entry.model_copy(update={"inspection": seen}))))

    assert page.text.count("no picture") == 2
    assert "metadata" in page.attributes("preload")


async def test_size_is_bounded(store: Store) -> None:
    """A hundred clips with large and rich stills make a page of less than 6 MB."""
    file = BytesIO()
    with Image.open(PICTURE) as picture:
        picture.convert("RGB").resize((640, 360)).save(file, "JPEG", quality=95)
    entries = [await made(store, number) for number in range(1, 101)]
    for entry in entries:
        for which in ("start", "middle", "end"):
            await store.put(f"{clip_prefix(entry.fingerprint)}{which}.jpg", file.getvalue())

    written = await report.render_report(manifest_of(*entries), store)

    assert written.size_bytes < 6_000_000
    sheet = await store.read(written.contact_sheet)
    assert sheet
    assert len(sheet) < 3_000_000


@pytest.mark.parametrize("clips", [0, 1, 3, 10, 100, 2000])
@pytest.mark.parametrize("ratio", [9 / 16, 1.0, 21 / 9])
def test_contact_sheet_is_bounded(clips: int, ratio: float) -> None:
    """However many clips of whatever shape there are, the sheet is no larger than a large photograph."""
    sheet = ContactSheet(clips, ratio=ratio)
    tall = Image.new("RGB", (90, 160), "red")

    for place in range(clips):
        sheet.add(place, (tall, None, tall), caption=f"{place}")

    image = Image.open(BytesIO(sheet.jpeg()))
    assert image.width * image.height < 16_000_000
    assert 0.3 < image.width / image.height < 12 or clips < 3


def test_contact_sheet_shows_clips() -> None:
    """Every frame is at its place, in order."""
    sheet = ContactSheet(2, ratio=16 / 9)
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    sheet.add(1, [Image.new("RGB", SIZE, colour) for colour in colours], caption="2")
    sheet.add(0, [None, Image.new("RGB", SIZE, "white"), None], caption="1")

    image = Image.open(BytesIO(sheet.jpeg()))
    seen = [_name(image.getpixel((20 + 160 + 324 * column, y))) for y in (110, 324) for column in range(3)]

    assert seen == ["dark", "white", "dark", "red", "green", "blue"]


def _name(pixel: object) -> str:
    red, green, blue = pixel  # type: ignore[misc]  # of an RGB image
    names: dict[tuple[bool, bool, bool], str] = {
        (True, False, False): "red",
        (False, True, False): "green",
        (False, False, True): "blue",
        (True, True, True): "white",
        (False, False, False): "dark",
    }
    return names[red > 128, green > 128, blue > 128]


# Links, times and words


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "key", "REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Store.open("s3://films/of mine")


async def test_bucket_links_are_signed(bucket: Store) -> None:
    """A bucket's link is good for whoever has it, for a week, and says where it leads."""
    links = await Links.of(bucket, "productions/film/report.html")

    link = await links.to("clips/x/clip.mp4")

    assert link.signed
    assert link.best == link.all[0] == link.signed
    assert link.all[1] == link.relative == "../../clips/x/clip.mp4"
    assert "X-Amz-Signature=" in link.signed
    assert link.origin
    assert link.signed.startswith(f"{link.origin}/")
    assert links.until == links.signed_until
    assert links.until
    assert timedelta() < datetime.now(UTC) + LIFETIME - links.until < timedelta(minutes=1)


async def test_unsigned_links_are_relative(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where credentials cannot sign, the page has relative links rather than not to be."""
    del bucket
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/none")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere")

    links = await Links.of(Store.open("s3://films"), "productions/film/report.html")

    assert (await links.to("clips/x/clip.mp4")).all == ("../../clips/x/clip.mp4",)
    assert links.until is None
    assert "are not signed: Could not sign" in caplog.text


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_axis_is_in_scale() -> None:
    """Bars are where their times are."""
    spans = [Span(at(0), at(6), at(8)), Span(at(2), at(9), at(10))]
    axis = Axis(spans)

    assert [axis.bar(span) for span in spans] == [(0, 60, 20), (20, 70, 10)]
    assert (axis.begin, axis.end, axis.cuts) == (at(0), at(10), ())


def test_axis_shortens_pauses() -> None:
    """A retake a day later leaves room for what went on before."""
    spans = [Span(at(0), at(10), at(10)), Span(at(1450), at(1459), at(1460))]
    axis = Axis(spans)

    first, second = (axis.bar(span) for span in spans)
    (cut,) = axis.cuts
    assert first.making == pytest.approx(100 * 10 / 21)
    assert second.asked == pytest.approx(100 * 11 / 21)
    assert second.asked + second.making + second.storing == pytest.approx(100)
    assert first.making < cut.at < second.asked
    assert cut.pause == timedelta(days=1)


def test_axis_bears_odd_times() -> None:
    """An API's clock that goes wrong, or a clip that is still being made, stays on the axis."""
    spans = [Span(at(0), at(-30), at(2)), Span(at(1), at(99), at(3)), Span(at(2))]
    axis = Axis(spans)

    bars = [axis.bar(span) for span in spans]

    assert all(min(bar) >= 0 and bar.asked + bar.making + bar.storing <= 100 + 1e-9 for bar in bars)


def test_axis_of_nothing() -> None:
    """Without spans there is no axis; with one of no length there is one."""
    assert Axis([]).begin is None
    assert Axis([Span(NOW)]).bar(Span(NOW)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.seconds(4), "4 s"),
        (words.seconds(12.04), "12 s"),
        (words.seconds(12.46), "12.5 s"),
        (words.seconds(59.97), "1 min"),
        (words.seconds(3725), "62 min 5 s"),
        (words.size(870), "870 bytes"),
        (words.size(3_400_000), "3.4 MB"),
        (words.size(12e9), "12.0 GB"),
        (words.pause(timedelta(seconds=40)), "40 s"),
        (words.pause(timedelta(minutes=59)), "59 min"),
        (words.pause(timedelta(hours=5)), "5 h"),
        (words.pause(timedelta(days=1, hours=3)), "1 day"),
        (words.moment(NOW), "22 Nov 2026, 12:00:00 UTC"),
        (words.verdict(Similarity(ssim=0.97)), "seamless"),
        (words.verdict(Similarity(ssim=0.9)), "slight change"),
        (words.verdict(Similarity(ssim=0.3)), "visible jump"),
        (words.verdict(Similarity(reason="no image")), "not compared"),
    ],
)
def test_figures_are_readable(said: str, expected: str) -> None:
    """Figures are written as people read them."""
    assert said == expected


async def test_full_disk_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the temporary folder cannot be written, the error says so and what to do."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(ArchiveError, match=r"/nowhere cannot be written .* TMPDIR"):
        await report.render_report(manifest_of(await made(store, 1)), store)
