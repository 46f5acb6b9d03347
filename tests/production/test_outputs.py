"""Film, report and checks of the cuts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import ArchiveError
from prefect_seedance.film.inspections import ClipInspection, Similarity
from prefect_seedance.film.seams import Inspector
from prefect_seedance.options import JoinStyle, Output
from prefect_seedance.production import outputs
from prefect_seedance.production import steps as steps_module
from prefect_seedance.production.outputs import OutputMaker
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Entry, Manifest, read_manifest
from prefect_seedance.report.recipe import Report
from prefect_seedance.report.thumbnails import Thumbnails
from prefect_seedance.storage.backends import Backend
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from tests import films
from tests.production.conftest import SOUNDS, prepare_sounds
from tests.records import manifest_of

_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Cutting:
    """An open session, with the manifest of two archived clips."""

    session: Session
    settings: RunSettings
    manifest: Manifest

    def maker(self, **output: object) -> OutputMaker:
        """Return the maker of these outputs."""
        return OutputMaker(
            output=Output.model_validate({"film": False, "report": False, **output}),
            settings=self.settings,
            steps=PlainSteps(session=self.session, settings=self.settings),
            inspector=self.session.inspector,
            fingerprints=[entry.fingerprint for entry in self.manifest.clips],
        )

    async def make(self, **output: object) -> Manifest:
        """Inspect the clips and make these outputs."""
        async with self.maker(**output) as maker:
            await self.inspect(maker)
            return await maker.make(self.manifest)

    async def inspect(self, maker: OutputMaker) -> None:
        """Begin to inspect the clips."""
        planned = (await prepare_sounds(self.settings)).plan.clips
        for entry, clip in zip(self.manifest.clips, planned, strict=True):
            assert entry.clip
            maker.begin_inspection(entry.clip, clip)


@pytest.fixture
async def cutting(settings: RunSettings) -> AsyncIterator[Cutting]:
    """Return two archived clips whose frames differ."""
    async with Session.open(settings) as session:
        entries = []
        for number in range(1, len(SOUNDS.clips) + 1):
            clip = await films.archived(session.store, films.clip(number, frames=6), name=f"scene {number}")
            entries.append(
                Entry(
                    number=number,
                    name=clip.name,
                    fingerprint=clip.fingerprint,
                    status=ClipStatus.made,
                    duration_seconds=4,
                    clip=clip,
                )
            )
        yield Cutting(session, settings, manifest_of(*entries))


async def test_makes_film_and_report(cutting: Cutting, archive: Path) -> None:
    """Film and report are made and named in the stored manifest."""
    manifest = await cutting.make(film=True, report=True)

    assert manifest.film
    assert (archive / manifest.film.stable_key).is_file()
    assert manifest.report
    assert (archive / manifest.report).is_file()
    assert await read_manifest(cutting.session.store, "test-board") == manifest


async def test_film_and_report_are_optional(cutting: Cutting, archive: Path) -> None:
    """Without film and report only the findings are stored."""
    manifest = await cutting.make()

    assert (manifest.film, manifest.report) == (None, None)
    assert all(entry.inspection for entry in manifest.clips)
    assert not list((archive / "productions/test-board").glob("film*"))


async def test_similarity_can_be_required(cutting: Cutting) -> None:
    """Where two clips do not meet, the later one fails if similarity is required."""
    lenient = await cutting.make(film=True)
    strict = await cutting.make(film=True, min_similarity=0.99)

    assert lenient.is_complete
    assert lenient.clips[0].seams
    assert lenient.clips[0].seams.next
    assert [entry.status for entry in strict.clips] == ["made", "failed"]
    assert strict.clips[1].cause == "SeamError"


async def test_style_decides_film(cutting: Cutting) -> None:
    """The options of joining reach the film."""
    manifest = await cutting.make(film=True, join="exact")

    assert manifest.film
    assert manifest.film.join == "exact"
    assert cutting.maker(gaps="slate").output.style == JoinStyle(gaps="slate")


async def test_failed_film_is_a_reason(cutting: Cutting, archive: Path) -> None:
    """If the film or the report cannot be made, the manifest says why, and the clips stay made."""
    for entry in cutting.manifest.clips:
        assert entry.clip
        (archive / entry.clip.key).write_bytes(b"damaged")
    (archive / "productions/test-board/report.html/in-its-way").mkdir(parents=True)

    manifest = await cutting.maker(film=True, report=True).make(cutting.manifest)

    assert manifest.film is None
    assert manifest.film_reason
    assert manifest.report is None
    assert "report.html" in (manifest.report_reason or "")
    assert [entry.status for entry in manifest.clips] == ["made", "made"]


async def test_failed_inspection_is_logged(
    cutting: Cutting, archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A clip that cannot be inspected is still archived, so nothing is raised."""
    clip = cutting.manifest.clips[0].clip
    assert clip
    (archive / clip.key).unlink()

    with caplog.at_level(logging.WARNING):
        manifest = await cutting.make(report=True)

    assert [entry.inspection is None for entry in manifest.clips] == [True, False]
    assert f"{clip.name} is archived and could not be inspected" in caplog.text


class Hanging(PlainSteps):
    """Steps of which the inspection of the first clip never ends."""

    async def inspect(self, clip: Clip, *, images: Sequence[SourceImage]) -> ClipInspection:
        """Inspect the second clip only."""
        if clip.name == "scene 1":
            await asyncio.Event().wait()
        return await super().inspect(clip, images=images)


async def test_late_inspection_is_cut_off(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An inspection that does not end in time is logged, and film and report are made without it."""
    monkeypatch.setattr(outputs, "_INSPECTIONS_SECONDS", 0.0)
    monkeypatch.setattr(outputs, "_SECONDS_PER_INSPECTION", 2.0)
    steps = Hanging(session=cutting.session, settings=cutting.settings)

    with caplog.at_level(logging.WARNING):
        async with replace(cutting.maker(film=True, report=True), steps=steps) as maker:
            await cutting.inspect(maker)
            manifest = await maker.make(cutting.manifest)

    assert [entry.inspection is None for entry in manifest.clips] == [True, False]
    assert manifest.film
    assert manifest.report
    assert "1 of the clips could not be inspected in time" in caplog.text


async def test_leaving_cancels_inspections(cutting: Cutting) -> None:
    """No inspection is left running when the outputs are left without them."""
    steps = Hanging(session=cutting.session, settings=cutting.settings)
    before = asyncio.all_tasks()

    async with replace(cutting.maker(report=True), steps=steps) as maker:
        await cutting.inspect(maker)

    assert asyncio.all_tasks() == before


@dataclass(frozen=True, kw_only=True)
class Comparing(Inspector):
    """An inspector that counts its comparisons of cuts, which fail if they are to."""

    begun: list[str] = field(default_factory=list)
    error: Exception | None = None

    async def compare_next(self, inspection: ClipInspection, following: ClipInspection) -> Similarity:
        """Count, and compare."""
        self.begun.append(following.inspection.sha256)
        if self.error:
            raise self.error
        return await super().compare_next(inspection, following)


async def test_cuts_are_compared_early(cutting: Cutting) -> None:
    """A cut is compared once, as soon as both of its clips are inspected."""
    inspector = Comparing(store=cutting.session.store)

    async with replace(cutting.maker(film=True), inspector=inspector) as maker:
        await cutting.inspect(maker)
        async with asyncio.timeout(_WAIT_SECONDS):
            while not inspector.begun:
                await asyncio.sleep(0.01)
        manifest = await maker.make(cutting.manifest)

    assert len(inspector.begun) == 1
    seams = manifest.clips[0].seams
    assert seams
    assert seams.next
    assert seams.next.ssim is not None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(ArchiveError("The archive is away"), "The archive is away", id="archive"),
        pytest.param(MemoryError(), "MemoryError", id="unexpected"),
    ],
)
async def test_failed_comparison_is_a_reason(cutting: Cutting, error: Exception, reason: str) -> None:
    """A cut that cannot be compared keeps neither the film nor the account from being made."""
    inspector = Comparing(store=cutting.session.store, error=error)

    async with replace(cutting.maker(film=True), inspector=inspector) as maker:
        await cutting.inspect(maker)
        manifest = await maker.make(cutting.manifest)

    assert manifest.film
    assert manifest.clips[0].seams
    assert manifest.clips[0].seams.next == Similarity(reason=reason)


class Reading(Store):
    """A store that lists what was read."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.reads: list[str] = []

    async def read(self, key: str) -> bytes | None:
        """Read, and list the key afterwards."""
        content = await super().read(key)
        self.reads.append(key)
        return content


@dataclass(frozen=True, kw_only=True)
class Losing(PlainSteps):
    """Steps that write the report after all stills were read, and are lost."""

    store: Reading
    folder: Path

    async def report(
        self, manifest: Manifest, *, price_per_second: Decimal | None, thumbnails: Thumbnails
    ) -> Report:
        """Delete the stills, and write the report."""
        stills = {file.relative_to(self.folder).as_posix() for file in self.folder.rglob("still-*.jpg")}
        async with asyncio.timeout(_WAIT_SECONDS):
            while not stills <= set(self.store.reads):
                await asyncio.sleep(0.01)
        for still in stills:
            (self.folder / still).unlink()
        return await super().report(manifest, price_per_second=price_per_second, thumbnails=thumbnails)


async def test_stills_are_scaled_early(cutting: Cutting, archive: Path) -> None:
    """The stills of an inspected clip are scaled for the report before it is written, and read once."""
    store = Reading.open(str(archive))
    steps = Losing(session=cutting.session, settings=cutting.settings, store=store, folder=archive)

    inspector = replace(cutting.session.inspector, store=store)
    async with replace(cutting.maker(report=True), inspector=inspector, steps=steps) as maker:
        await cutting.inspect(maker)
        manifest = await maker.make(cutting.manifest)

    page = (archive / (manifest.report or "")).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 6
    assert len([key for key in store.reads if "still-" in key]) == 6


async def test_slow_film_is_cut_off(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film that takes too long is stopped, and the manifest says how to join it."""
    monkeypatch.setattr(steps_module, "_JOIN_SECONDS", 0.0)
    monkeypatch.setattr(steps_module, "_JOIN_SECONDS_PER_SECOND", 0.0)

    manifest = await cutting.make(film=True)

    assert manifest.film is None
    assert "prefect-seedance film" in (manifest.film_reason or "")
    assert manifest.is_complete


async def test_clips_get_names(cutting: Cutting, archive: Path) -> None:
    """Clips have names for people beside their film, and the report offers them under these names."""
    manifest = await cutting.make(report=True)

    folder = archive / "productions/test-board/clips"
    assert manifest.clips_folder == "productions/test-board/clips"
    assert sorted(path.name for path in folder.iterdir()) == ["01 scene 1.mp4", "02 scene 2.mp4"]
    page = (archive / "productions/test-board/report.html").read_text(encoding="utf-8")
    assert '<a href="clips/01%20scene%201.mp4" download="01 scene 1.mp4">' in page


async def test_names_are_optional(cutting: Cutting, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder of names that cannot be written only is a warning."""
    (archive / "productions/test-board").mkdir(parents=True)
    (archive / "productions/test-board/clips").write_bytes(b"")

    with caplog.at_level(logging.WARNING):
        manifest = await cutting.make(report=True)

    assert manifest.is_complete
    assert manifest.report
    assert manifest.clips_folder is None
    assert "have no names for people" in caplog.text


async def test_former_film_is_pruned(cutting: Cutting, archive: Path) -> None:
    """A film that was replaced is deleted once neither manifest nor report points to it."""
    folder = archive / "productions/test-board"
    first = await cutting.make(film=True, report=True)
    kept = await cutting.make(film=True, join="exact")  # the report points to the first one
    films_kept = sorted(path.name for path in folder.glob("film-*.mp4"))

    last = await cutting.make(film=True, join="exact", report=True)

    assert first.film
    assert kept.film
    assert last.film
    assert films_kept == sorted(Path(each.key).name for each in (first.film, kept.film))
    assert [path.name for path in folder.glob("film-*.mp4")] == [Path(last.film.key).name]


@pytest.mark.parametrize(
    ("output", "account", "shown"),
    [("0.5", "0", "0.5"), (None, "0.25", "0.25"), (None, "0", None)],
    ids=["option", "credentials", "neither"],
)
async def test_price_has_an_order(
    output: str | None, account: str, shown: str | None, cutting: Cutting, archive: Path
) -> None:
    """The report uses the option's price, then the account's, else none."""
    credentials = cutting.settings.credentials.model_copy(update={"price_per_second": Decimal(account)})
    cutting = replace(cutting, settings=replace(cutting.settings, credentials=credentials))

    await cutting.maker(report=True, price_per_second=output).make(cutting.manifest)

    page = (archive / "productions/test-board/report.html").read_text(encoding="utf-8")
    assert (f"Cost at {shown} a second" in page) == (shown is not None)
    assert ("Cost at" in page) == (shown is not None)
