"""Rescuing the clips of several archives."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Attempt, Outcome, Result
from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.rescue_archives import Rescue, plain_steps, rescue_archives
from prefect_seedance.production.session import open_archive
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.rescued import RescuedArchive
from prefect_seedance.storage.store import Store
from tests.conftest import SkippingLoop
from tests.processes import Sandbox
from tests.production.conftest import PLAIN, QUICK, SOUNDS, make
from tests.records import planned_clip, record_outcome, record_unresolved


@dataclass(frozen=True, kw_only=True)
class NotingSteps(PlainSteps):
    """Steps that note which clips are archived."""

    order: list[str]

    async def archive(self, attempt: Attempt, *, deadline_seconds: float) -> Clip:
        """Archive a clip as the plain steps do."""
        self.order.append(attempt.intent.name)
        return await super().archive(attempt, deadline_seconds=deadline_seconds)


async def submit(settings: RunSettings, archive: Path) -> None:
    """Submit both sounds into an archive, and do not wait for them."""
    hurried = replace(settings, archive=str(archive), waiting=QUICK.model_copy(update={"wait": False}))
    await make(await prepare(SOUNDS, hurried, output=PLAIN))


def clips_in(archive: Path) -> int:
    """Count the archived clips."""
    return len(list(archive.glob("clips/*/clip.json")))


async def rescue(settings: RunSettings, *archives: str | Path) -> Mapping[str, RescuedArchive]:
    """Rescue the clips of archives, by their names."""
    found, _ = await rescue_archives(list(map(str, archives)), settings, open_steps=plain_steps())
    return {each.archive: each for each in found}


async def expire_in(sandbox: Sandbox, archive: Path, days: Mapping[int, int]) -> None:
    """Record finished clips, whose links expire in so many days and which the sandbox does not have."""
    for number, left in days.items():
        outcome = Outcome(
            result=Result.success,
            ended_at=datetime.now(UTC) - timedelta(days=15 - left),
            expires_at=datetime.now(UTC) + timedelta(days=left),
            result_urls=(f"{sandbox.url}/files/{number}.mp4",),
        )
        await record_outcome(Store.open(str(archive)), planned_clip(number), outcome)


async def test_rescues_every_archive(settings: RunSettings, sandbox: Sandbox, tmp_path: Path) -> None:
    """All archives are rescued with one account, and each clip is listed with its archive."""
    films, ads = tmp_path / "films", tmp_path / "ads"
    await submit(settings, films)
    await submit(settings, ads)

    found = await rescue(settings, films, ads)

    assert list(found) == [str(films), str(ads)]
    assert [clip.status for each in found.values() for clip in each.clips] == [ClipStatus.made] * 4
    assert clips_in(films) == clips_in(ads) == 2
    assert sandbox.totals()["accepted"] == 4


async def test_bad_archive_stops_no_other(settings: RunSettings, tmp_path: Path) -> None:
    """A missing folder, an unknown scheme and a block each have a reason; the others are rescued."""
    films = tmp_path / "films"
    await submit(settings, films)
    missing = tmp_path / "missing"

    found = await rescue(settings, missing, "ftp://films", films, "block:studio")

    problems = {name: each.problem for name, each in found.items() if each.problem}
    assert problems.keys() == {str(missing), "ftp://films", "block:studio"}
    assert "There is no archive" in str(problems[str(missing)])
    assert not missing.exists()
    assert [clip.status for clip in found[str(films)].clips] == [ClipStatus.made] * 2


async def test_failing_store_stops_no_other(settings: RunSettings, tmp_path: Path) -> None:
    """A store that fails unexpectedly, while others are read, has its own reason."""
    films = tmp_path / "films"
    await submit(settings, films)

    async def opener(archive: str | StoredArchive) -> Store:
        if archive == "s3://down":
            raise ArchiveError("no route to host")
        if archive == "s3://odd":
            raise ZeroDivisionError("odd")
        return await open_archive(archive)

    found, _ = await rescue_archives(
        ["s3://down", str(films), "s3://odd"], settings, open_steps=plain_steps(opener)
    )

    assert [(each.cause, len(each.clips)) for each in found] == [
        ("ArchiveError", 0),
        (None, 2),
        ("ZeroDivisionError", 0),
    ]


async def test_oldest_links_come_first(settings: RunSettings, sandbox: Sandbox, tmp_path: Path) -> None:
    """Links are downloaded in the order in which they expire, whichever archive they are of."""
    one, other = tmp_path / "one", tmp_path / "other"
    days = {number: 1 + number % 14 for number in range(1, 13)}
    await expire_in(sandbox, one, {number: days[number] for number in range(1, 13, 2)})
    await expire_in(sandbox, other, {number: days[number] for number in range(2, 13, 2)})
    hurried = replace(settings, waiting=QUICK.model_copy(update={"settling_seconds": 0.01}))
    order: list[str] = []

    @asynccontextmanager
    async def noting(settings: RunSettings) -> AsyncIterator[PlainSteps]:
        async with plain_steps()(settings) as steps:
            yield NotingSteps(session=steps.session, settings=settings, order=order)

    found, _ = await rescue_archives([str(one), str(other)], hurried, open_steps=noting)

    assert order == [f"clip {number}" for number in sorted(days, key=lambda number: days[number])]
    assert [clip.name for clip in found[0].clips] == [f"clip {number}" for number in (1, 3, 5, 7, 9, 11)]
    assert {clip.status for each in found for clip in each.clips} == {ClipStatus.not_archived}


@pytest.mark.parametrize("other", ["{}/", "file://{}"], ids=["slash", "url"])
async def test_archive_is_rescued_once(
    settings: RunSettings, tmp_path: Path, other: str, sandbox: Sandbox
) -> None:
    """An archive that is named twice is opened and listed once."""
    films = tmp_path / "films"
    await submit(settings, films)

    found = await rescue(settings, films, films, other.format(films))

    assert [len(each.clips) for each in found.values()] == [2]
    assert sandbox.totals()["accepted"] == 2


async def test_only_archive_must_exist(settings: RunSettings, tmp_path: Path) -> None:
    """If there is only one archive and it is wrong, the rescue fails."""
    with pytest.raises(SetupError, match="There is no archive"):
        await rescue(settings, tmp_path / "none")


async def test_default_is_environment(
    settings: RunSettings, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, the archive of the environment is rescued."""
    await record_unresolved(Store.open(str(archive)), planned_clip())
    monkeypatch.setenv("SEEDANCE_ARCHIVE", str(archive))

    found = await rescue(settings)

    assert [clip.status for clip in found[str(archive)].clips] == [ClipStatus.unresolved]


def test_hanging_archive_has_deadline(settings: RunSettings) -> None:
    """The rescue ends with the reason for each archive that does not answer before the deadline."""

    async def hang(_: str | StoredArchive) -> Store:
        await asyncio.Event().wait()
        raise AssertionError

    async def rescue() -> Sequence[RescuedArchive]:
        async with asyncio.timeout(600):
            found, _ = await rescue_archives(["s3://a", "s3://b"], settings, open_steps=plain_steps(hang))
            return found

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        found = runner.run(rescue())

    assert [(each.archive, each.cause) for each in found] == [
        ("s3://a", "ArchiveError"),
        ("s3://b", "ArchiveError"),
    ]
    assert all("did not answer before the deadline" in str(each.problem) for each in found)


@pytest.mark.parametrize("archives", [("none",), ("films", "films/")], ids=["missing", "named twice"])
async def test_unread_archive_delays_no_other(
    settings: RunSettings, tmp_path: Path, archives: tuple[str, ...]
) -> None:
    """The turns begin as soon as each archive is read, or it is known that it is not read."""
    await submit(settings, tmp_path / "films")
    rescue = Rescue(settings=settings, open_steps=plain_steps(), unread=len(archives))

    await asyncio.gather(*[rescue.rescue_or_explain(f"{tmp_path}/{each}") for each in archives])

    async with asyncio.timeout(5), rescue.turns.turn(None):
        assert rescue.unread == 0


async def test_slow_archive_delays_no_other(settings: RunSettings, tmp_path: Path) -> None:
    """Clips of archives that are read do not wait forever for an archive that does not answer."""
    films = tmp_path / "films"
    await submit(settings, films)
    hangs = asyncio.Event()

    async def opener(archive: str | StoredArchive) -> Store:
        if archive == "s3://hangs":
            await hangs.wait()
        return await open_archive(archive)

    hurried = replace(settings, waiting=QUICK.model_copy(update={"deadline_seconds": 20}))
    work = asyncio.create_task(
        rescue_archives(["s3://hangs", str(films)], hurried, open_steps=plain_steps(opener))
    )
    async with asyncio.timeout(60):
        while clips_in(films) < 2:
            await asyncio.sleep(0.1)
    hangs.set()
    work.cancel()
    await asyncio.wait([work])
