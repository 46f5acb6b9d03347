"""Film, report and checks of the cuts."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.options import JoinStyle, Output
from prefect_seedance.production.outputs import OutputMaker
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Entry, Manifest, read_manifest
from tests import films
from tests.production.conftest import SOUNDS, prepare_sounds
from tests.records import manifest_of


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
        )

    async def make(self, **output: object) -> Manifest:
        """Inspect the clips and make these outputs."""
        maker = self.maker(**output)
        planned = (await prepare_sounds(self.settings)).plan.clips
        inspections = {}
        for entry, clip in zip(self.manifest.clips, planned, strict=True):
            assert entry.clip
            inspection = await maker.inspect(entry.clip, clip)
            assert inspection
            inspections[entry.fingerprint] = inspection
        return await maker.make(self.manifest, inspections)


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

    manifest = await cutting.maker(film=True, report=True).make(cutting.manifest, {})

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
    (planned, _) = (await prepare_sounds(cutting.settings)).plan.clips

    with caplog.at_level(logging.WARNING):
        found = await cutting.maker(report=True).inspect(clip, planned)

    assert found is None


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

    await cutting.maker(report=True, price_per_second=output).make(cutting.manifest, {})

    page = (archive / "productions/test-board/report.html").read_text(encoding="utf-8")
    assert (f"Cost at {shown} a second" in page) == (shown is not None)
    assert ("Cost at" in page) == (shown is not None)
