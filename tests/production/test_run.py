"""Running a prepared production."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, clip_prefix
from prefect_seedance.errors import DeadlineError
from prefect_seedance.film.inspections import ClipInspection
from prefect_seedance.options import Output, RetryPolicy
from prefect_seedance.production import outputs
from prefect_seedance.production.cuts import Compare, Cuts
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.progress import OnProgress, Progress
from prefect_seedance.production.run import run
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Manifest, read_manifest
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.storyboard.schema import ClipList, ClipSpec, Defaults
from tests.processes import Sandbox
from tests.production.conftest import PLAIN, QUICK, SOUNDS, make, opened, prepare_sounds


def limited(settings: RunSettings, generations: int) -> RunSettings:
    """Return the settings of an account that may have so many generations in flight."""
    credentials = settings.credentials.model_copy(update={"generations_in_flight": generations})
    return replace(settings, credentials=credentials)


def statuses(manifest: Manifest) -> list[str]:
    return [str(entry.status) for entry in manifest.clips]


async def stored(archive: Path) -> Manifest:
    return await read_manifest(Store.open(str(archive)), "sounds")


async def test_makes_what_is_missing(settings: RunSettings, archive: Path, sandbox: Sandbox) -> None:
    """The first run makes every clip, the second reuses them; both store their manifest."""
    first = await make(await prepare_sounds(settings))
    second = await make(await prepare_sounds(settings))

    assert (statuses(first), statuses(second)) == (["made", "made"], ["reused", "reused"])
    assert (first.billed_seconds, second.billed_seconds) == (8, 0)
    assert await stored(archive) == second
    assert (archive / "productions/sounds/storyboard.json").is_file()
    assert sandbox.totals()["accepted"] == 2


async def test_storyboard_becomes_film(board: Path, settings: RunSettings, archive: Path) -> None:
    """A storyboard's clips are inspected, and joined into a film that the report shows."""
    manifest = await make(await prepare(board, settings))

    assert manifest.is_complete
    assert manifest.film
    assert (archive / manifest.film.key).is_file()
    assert manifest.report
    assert all(entry.seams and entry.seams.start for entry in manifest.clips)


class Recorded(Cuts):
    """Cuts that note for which clips they were prepared."""

    orders: ClassVar[list[Sequence[str]]] = []

    def __init__(self, fingerprints: Sequence[str], compare: Compare) -> None:
        super().__init__(fingerprints, compare)
        self.orders.append(fingerprints)


async def test_cuts_have_order_of_clips(
    board: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cuts of a run are known from the start, so that they are compared while other clips are made."""
    monkeypatch.setattr(outputs, "Cuts", Recorded)

    manifest = await make(await prepare(board, settings))

    assert Recorded.orders == [[entry.fingerprint for entry in manifest.clips]]


async def test_failure_stops_no_other(settings: RunSettings, sandbox: Sandbox) -> None:
    """A clip that fails has its reason, and the others are made."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "bell"})

    manifest = await make(await prepare_sounds(settings))

    assert statuses(manifest) == ["failed", "made"]
    assert "CONTENT_VIOLATION" in (manifest.clips[0].reason or "")
    assert manifest.clips[0].cause == "ContentRejectedError"


@pytest.mark.parametrize("version", [1, 2], ids=["damaged", "newer"])
async def test_unreadable_record_stops_no_other(
    settings: RunSettings, archive: Path, sandbox: Sandbox, version: int
) -> None:
    """A clip with an unreadable record is not submitted whatever is permitted, and the others are made."""
    permissive = RetryPolicy(retry_failed=True, retry_rejected=True, on_unresolved="resubmit")
    prepared = await prepare_sounds(replace(settings, retry=permissive))
    bell, _ = prepared.plan.clips
    record = archive / clip_prefix(bell.fingerprint) / "attempt-001" / "intent.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"schema_version": version}))

    manifest = await make(prepared)

    assert statuses(manifest) == ["unreadable", "made"]
    assert "attempt-001/intent.json" in (manifest.clips[0].reason or "")
    assert ("upgrade prefect-seedance" in (manifest.clips[0].reason or "")) == (version == 2)
    assert manifest.verdict is Verdict.failed
    assert sandbox.totals()["accepted"] == 1


async def test_record_of_video_is_made_again(settings: RunSettings, archive: Path, sandbox: Sandbox) -> None:
    """A damaged record of an archived video names its remedy, which costs nothing."""
    prepared = await prepare_sounds(settings)
    first = await make(prepared)
    record = archive / clip_prefix(prepared.plan.clips[0].fingerprint) / "clip.json"
    record.write_bytes(b"{")

    damaged = await make(await prepare_sounds(settings))
    record.unlink()
    again = await make(await prepare_sounds(settings))

    assert statuses(damaged) == ["unreadable", "reused"]
    assert f"{record} is missing or damaged; delete it" in (damaged.clips[0].reason or "")
    assert statuses(again) == ["made", "reused"]
    assert [entry.clip and entry.clip.sha256 for entry in again.clips] == [
        entry.clip and entry.clip.sha256 for entry in first.clips
    ]
    assert sandbox.totals()["accepted"] == 2


async def test_retry_pays_once_more(settings: RunSettings, sandbox: Sandbox) -> None:
    """With permission a failed clip gets one more attempt, which the run bills."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT", "times": 1})
    failed = await make(await prepare_sounds(settings))

    again = await make(await prepare_sounds(replace(settings, retry=RetryPolicy(retry_failed=True))))

    assert sorted(statuses(failed)) == ["failed", "made"]
    assert sorted(statuses(again)) == ["made", "reused"]
    assert again.billed_seconds == 4


async def test_deadline_leaves_in_flight(settings: RunSettings, sandbox: Sandbox) -> None:
    """At the deadline clips are in flight; a later run archives them without paying."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 5})
    hasty = replace(settings, waiting=QUICK.model_copy(update={"deadline_seconds": 1.0}))

    early = await make(await prepare_sounds(hasty))
    late = await make(await prepare_sounds(settings))

    assert statuses(early) == ["in flight", "in flight"]
    assert statuses(late) == ["made", "made"]
    assert late.billed_seconds == 0


async def test_equal_clips_are_made_once(settings: RunSettings, sandbox: Sandbox) -> None:
    """Repeated clips share one video, billed where it occurs first."""
    wave = ClipSpec(prompt="waves break")
    clips = ClipList(title="Sounds", defaults=Defaults(resolution="480p"), clips=(wave, wave))

    manifest = await make(await prepare(clips, settings, output=PLAIN))

    assert [entry.billed_seconds for entry in manifest.clips] == [4, 0]
    assert manifest.clips[0].clip == manifest.clips[1].clip
    assert sandbox.totals()["accepted"] == 1


async def test_slots_limit_generations(settings: RunSettings, sandbox: Sandbox) -> None:
    """A run submits the next clip only when a generation has ended, if the account allows one."""
    seen: list[Progress] = []

    manifest = await make(await prepare_sounds(limited(settings, 1)), on_progress=seen.append)

    steps = [str(each.status) for each in seen]
    assert statuses(manifest) == ["made", "made"]
    assert sandbox.totals()["accepted"] == 2
    assert steps.index("archiving") < _last(steps, "submitting")


def _last(steps: list[str], step: str) -> int:
    return len(steps) - 1 - steps[::-1].index(step)


async def test_full_account_leaves_rest(settings: RunSettings, sandbox: Sandbox) -> None:
    """A run that does not wait submits as many clips as the account may have, and explains the rest."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    waiting = QUICK.model_copy(update={"wait": False})

    manifest = await make(await prepare_sounds(replace(limited(settings, 1), waiting=waiting)))

    assert sorted(statuses(manifest)) == ["in flight", "not submitted"]
    (left,) = [entry for entry in manifest.clips if entry.status is ClipStatus.not_submitted]
    assert "limit of concurrent generations is reached" in (left.reason or "")
    assert manifest.verdict.name == "in_flight"
    assert sandbox.totals()["accepted"] == 1


async def test_archives_share_slots(settings: RunSettings, sandbox: Sandbox, tmp_path: Path) -> None:
    """Three productions in three archives together keep the account's limit of generations in flight."""
    archives = [replace(limited(settings, 2), archive=str(tmp_path / name)) for name in "abc"]

    manifests = await asyncio.gather(*[make(await prepare_sounds(each)) for each in archives])

    assert [statuses(manifest) for manifest in manifests] == [["made", "made"]] * 3
    assert sandbox.totals()["max_in_flight"] == 2


async def test_open_attempts_take_slots(settings: RunSettings, sandbox: Sandbox) -> None:
    """A resumed run with two generations in flight and a limit of two buys nothing until one has ended."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 5})
    hasty = replace(settings, waiting=QUICK.model_copy(update={"deadline_seconds": 1.0}))
    await make(await prepare_sounds(hasty))
    new = (ClipSpec(name="wind", prompt="wind blows"), ClipSpec(name="rain", prompt="rain falls"))
    clips = SOUNDS.model_copy(update={"clips": (*new, *SOUNDS.clips)})

    manifest = await make(await prepare(clips, limited(settings, 2), output=PLAIN))

    assert statuses(manifest) == ["made"] * 4
    assert (sandbox.totals()["accepted"], sandbox.totals()["max_in_flight"]) == (4, 2)


async def test_generated_clip_needs_no_slot(settings: RunSettings, sandbox: Sandbox) -> None:
    """A clip whose generation has ended is archived although the account is full."""
    sandbox.faults({"kind": "generation", "fault": "never-end", "clip": "waves"})
    waiting = QUICK.model_copy(update={"wait": False})
    bell, sea = (await prepare_sounds(settings)).plan.clips
    async with opened(await prepare_sounds(settings)) as (_, steps):
        await steps.submit(sea, deadline_seconds=10)
        await steps.wait(await steps.submit(bell, deadline_seconds=10), deadline_seconds=30)
    clips = SOUNDS.model_copy(update={"clips": SOUNDS.clips[::-1]})

    prepared = await prepare(clips, replace(limited(settings, 1), waiting=waiting), output=PLAIN)
    manifest = await make(prepared)

    assert statuses(manifest) == ["in flight", "made"]


async def test_different_limits_end(settings: RunSettings, sandbox: Sandbox) -> None:
    """Two productions of one session end without waiting, though they know different limits."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    waiting = QUICK.model_copy(update={"wait": False})
    more = ClipList(
        title="More",
        defaults=Defaults(resolution="480p"),
        clips=tuple(ClipSpec(prompt=f"bird {number} sings") for number in range(4)),
    )
    low = await prepare_sounds(replace(limited(settings, 1), waiting=waiting))
    high = await prepare(more, replace(limited(settings, 3), waiting=waiting), output=PLAIN)

    async with opened(low) as (session, steps):
        async with asyncio.timeout(30):
            manifests = await asyncio.gather(
                *[run(each, session=session, steps=steps) for each in (low, high)]
            )

    found = [status for manifest in manifests for status in statuses(manifest)]
    assert sorted(found) == ["in flight"] * 3 + ["not submitted"] * 3


async def test_slot_waits_have_deadlines(settings: RunSettings, sandbox: Sandbox) -> None:
    """A production that finds the account full ends at its deadline, though the other one goes on."""
    sandbox.faults({"kind": "generation", "fault": "never-end", "clip": "bell"})
    patient = await prepare(_one("bell"), limited(settings, 1), output=PLAIN)
    hasty = limited(replace(settings, waiting=QUICK.model_copy(update={"deadline_seconds": 1.0})), 1)
    accepted = asyncio.Event()

    first = asyncio.create_task(make(patient, on_progress=_watch(accepted)))
    await asyncio.wait_for(accepted.wait(), 20)
    second = await asyncio.wait_for(make(await prepare(_one("sea"), hasty, output=PLAIN)), 20)
    first.cancel()
    await asyncio.wait([first])

    assert statuses(second) == ["not submitted"]
    assert "limit of concurrent generations is reached" in (second.clips[0].reason or "")
    assert second.verdict.name == "in_flight"
    assert sandbox.totals()["accepted"] == 1


@pytest.mark.parametrize("ending", ["no wait", "cancelled", "failed"])
async def test_ended_run_leaves_no_slot(settings: RunSettings, sandbox: Sandbox, ending: str) -> None:
    """However a run ends, it releases all its slots."""
    fault = {"fault": "fail", "code": "NSFW"} if ending == "failed" else {"fault": "never-end"}
    sandbox.faults({"kind": "generation", **fault})
    waiting, accepted = QUICK.model_copy(update={"wait": ending != "no wait"}), asyncio.Event()
    prepared = await prepare_sounds(replace(limited(settings, 2), waiting=waiting))

    async with opened(prepared) as (session, steps):
        task = asyncio.create_task(run(prepared, session=session, steps=steps, on_progress=_watch(accepted)))
        await asyncio.wait_for(accepted.wait(), 20)
        if ending == "cancelled":
            task.cancel()
        await asyncio.wait([task])

        await session.client.account.slots.acquire(limit=1, deadline=0)


def _one(name: str) -> ClipList:
    return SOUNDS.model_copy(update={"clips": tuple(clip for clip in SOUNDS.clips if clip.name == name)})


def _watch(accepted: asyncio.Event) -> OnProgress:
    """Set an event when a clip is accepted."""

    def watch(progress: Progress) -> None:
        if progress.status is ClipStatus.in_flight:
            accepted.set()

    return watch


async def test_reports_every_step(settings: RunSettings) -> None:
    """The callback gets each step of a clip in order, with the API's state while it is in flight."""
    seen: list[Progress] = []

    await make(await prepare_sounds(settings), on_progress=seen.append)

    steps = [each for each in seen if each.clip.name == "bell"]
    names = list(dict.fromkeys(str(each.status) for each in steps))
    assert names == ["queued", "submitting", "in flight", "archiving", "made"]
    assert {each.detail for each in steps if each.detail} <= {"pending", "processing"}
    assert any(each.detail for each in steps)
    assert [each.is_final for each in steps] == [False] * (len(steps) - 1) + [True]


async def steps_of(settings: RunSettings) -> list[tuple[str, str]]:
    """Run the production, and return status and detail of each step of its first clip."""
    seen: list[Progress] = []
    await make(await prepare_sounds(settings), on_progress=seen.append)
    return [(str(each.status), each.detail) for each in seen if each.clip.name == "bell"]


async def test_failure_is_shown_once(settings: RunSettings, sandbox: Sandbox) -> None:
    """A clip that fails shows it once, and in later runs that it failed earlier."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT"})

    first, second = await steps_of(settings), await steps_of(settings)

    assert [status for status, detail in first if "failed" in (status, detail)] == ["failed"]
    assert second == [("queued", ""), ("failed", "failed earlier")]


async def test_restart_is_resumed(settings: RunSettings, sandbox: Sandbox) -> None:
    """A generation that an earlier run submitted is shown as resumed, never as submitting."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    short = replace(settings, waiting=settings.waiting.model_copy(update={"deadline_seconds": 1.0}))

    first, second = await steps_of(short), await steps_of(short)

    assert ("submitting", "") in first
    assert second[:2] == [("queued", ""), ("in flight", "in flight, resumed")]
    assert "submitting" not in dict(second)
    assert second[-1] == ("in flight", "")


async def test_cancelled_run_stores_manifest(settings: RunSettings, archive: Path, sandbox: Sandbox) -> None:
    """A run that is cancelled accounts for every clip before it ends."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    accepted = asyncio.Event()
    task = asyncio.create_task(make(await prepare_sounds(limited(settings, 1)), on_progress=_watch(accepted)))
    await asyncio.wait_for(accepted.wait(), 20)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    manifest = await stored(archive)
    assert task.cancelled()
    assert sorted(statuses(manifest)) == ["in flight", "not submitted"]
    assert all("The run was stopped" in (entry.reason or "") for entry in manifest.clips)


async def test_second_cancellation_stores_manifest(
    settings: RunSettings, archive: Path, sandbox: Sandbox
) -> None:
    """A run that is cancelled again while it accounts for its clips still stores the manifest."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    accepted = asyncio.Event()
    task = asyncio.create_task(make(await prepare_sounds(settings), on_progress=_watch(accepted)))
    await asyncio.wait_for(accepted.wait(), 20)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)

    async with asyncio.timeout(20):
        while not _has_manifest(archive):
            await asyncio.sleep(0.05)
    assert len((await stored(archive)).clips) == 2


def _has_manifest(archive: Path) -> bool:
    return (archive / "productions/sounds/manifest.json").exists()


@dataclass(frozen=True, kw_only=True)
class Hanging(PlainSteps):
    """Steps whose inspections never end."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def inspect(self, clip: Clip, *, images: Sequence[SourceImage]) -> ClipInspection:
        """Wait for ever."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return await super().inspect(clip, images=images)


async def test_account_precedes_inspections(settings: RunSettings, archive: Path) -> None:
    """The manifest is stored while clips are still inspected; stopping the run stops the inspections."""
    prepared = await prepare(SOUNDS, settings, output=Output(film=False))
    async with Session.open(prepared.settings) as session:
        steps = Hanging(session=session, settings=prepared.settings)
        task = asyncio.create_task(run(prepared, session=session, steps=steps))
        async with asyncio.timeout(30):
            await steps.begun.wait()
            while not _has_manifest(archive):
                await asyncio.sleep(0.05)
        was_inspecting = not steps.ended.is_set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    assert was_inspecting
    assert (task.cancelled(), steps.ended.is_set()) == (True, True)
    assert statuses(await stored(archive)) == ["made", "made"]


async def test_hanging_inspections_end(settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inspections that never end do not keep the run from its end, its report and its manifest."""
    monkeypatch.setattr(outputs, "_INSPECTIONS_SECONDS", 0.1)
    monkeypatch.setattr(outputs, "_SECONDS_PER_INSPECTION", 0.0)
    prepared = await prepare(SOUNDS, settings, output=Output(film=False))

    async with Session.open(prepared.settings) as session, asyncio.timeout(30):
        steps = Hanging(session=session, settings=prepared.settings)
        manifest = await run(prepared, session=session, steps=steps)

    assert statuses(manifest) == ["made", "made"]
    assert manifest.report


async def test_unstored_manifest_is_returned(
    settings: RunSettings, archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the manifest cannot be stored, it is logged, and returned all the same."""
    (archive / "productions/sounds/manifest.json/in-its-way").mkdir(parents=True)

    with caplog.at_level(logging.ERROR):
        manifest = await make(await prepare_sounds(settings))

    assert manifest.is_complete
    assert "Could not store the manifest of sounds" in caplog.text


async def test_similarity_needs_inspection(settings: RunSettings) -> None:
    """Clips are inspected only if film, report or a required similarity needs it."""
    plain = await make(await prepare(SOUNDS, settings, output=PLAIN))
    checked = await make(
        await prepare(SOUNDS, settings, output=Output(film=False, report=False, min_similarity=0.1))
    )

    assert [entry.inspection for entry in plain.clips] == [None, None]
    assert all(entry.inspection for entry in checked.clips)


class Broken(Ledger):
    """A ledger with a mistake in its code, for the clip bell."""

    async def attempts(self, fingerprint: str) -> tuple[Attempt, ...]:
        """Fail for the first clip."""
        if fingerprint == self.broken:
            raise RuntimeError("a mistake")
        return await super().attempts(fingerprint)

    broken = ""


@dataclass(frozen=True, kw_only=True)
class Waiting(PlainSteps):
    """Steps whose submissions never end, and whose first clip cannot be submitted."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, clip: PlannedClip, *, deadline_seconds: float) -> Attempt:
        """Wait until the deadline with all clips but one."""
        if clip.name == "bell":
            raise RuntimeError("another mistake")
        self.begun.set()
        await asyncio.sleep(deadline_seconds)
        raise DeadlineError("too late")


async def test_mistake_does_not_block_cancellation(settings: RunSettings) -> None:
    """A run whose code fails for one clip can still be cancelled while it waits for the others."""
    prepared = await prepare_sounds(settings)

    async with Session.open(prepared.settings) as session:
        ledger = Broken(session.store)
        ledger.broken = prepared.plan.clips[0].fingerprint
        steps = Waiting(session=session, settings=prepared.settings)
        running = asyncio.create_task(run(prepared, session=replace(session, ledger=ledger), steps=steps))
        await steps.begun.wait()
        await asyncio.sleep(0.5)

        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=10)

    assert done
    assert running.cancelled()
