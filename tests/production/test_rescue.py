"""Rescuing clips that are paid for and not archived."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_seedance.api.account import Account
from prefect_seedance.api.slots import Slots
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.options import Output
from prefect_seedance.production.oldest_first import OldestFirst
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.rescue import Rescuer
from prefect_seedance.production.rescue_archives import plain_steps, rescue_archives
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.schema import ClipSpec
from tests.processes import Sandbox
from tests.production.conftest import PLAIN, QUICK, SOUNDS, make
from tests.records import record_outcome, record_unresolved

EDITED = SOUNDS.model_copy(update={"clips": (SOUNDS.clips[0], ClipSpec(name="sea", prompt="a calm sea"))})


async def submit_only(settings: RunSettings) -> Manifest:
    """Submit both sounds, and do not wait for them."""
    hurried = replace(settings, waiting=QUICK.model_copy(update={"wait": False}))
    return await make(await prepare(SOUNDS, hurried, output=PLAIN))


async def rescue(settings: RunSettings) -> Sequence[PaidClip]:
    """Rescue the clips of the archive."""
    (found,), _ = await rescue_archives([str(settings.archive)], settings, open_steps=plain_steps())
    return found.clips


async def test_edit_loses_no_paid_clip(settings: RunSettings, archive: Path, sandbox: Sandbox) -> None:
    """After a prompt is edited, the next run archives the clip of the old prompt too, and bills it."""
    first = await submit_only(settings)

    second = await make(await prepare(EDITED, settings, output=PLAIN))

    (former,) = second.former
    assert former.fingerprint == first.clips[1].fingerprint
    assert (former.name, former.status, former.billed_seconds) == ("sea", ClipStatus.made, 4)
    assert (archive / str(former.key)).is_file()
    assert second.left_behind == ()
    assert Manifest.model_validate_json(second.model_dump_json()) == second
    assert second.billed_seconds == 4
    assert sandbox.totals()["accepted"] == 3


async def test_edit_leaves_no_halves(settings: RunSettings, archive: Path) -> None:
    """What a killed writer left of a clip that the storyboard no longer contains is removed too."""
    first = await submit_only(settings)
    half = archive / "clips" / first.clips[1].fingerprint / "clip.json#1"
    half.touch()
    os.utime(half, (0, 0))

    await make(await prepare(EDITED, settings, output=PLAIN))

    assert not half.exists()


async def test_run_names_what_it_leaves(settings: RunSettings, sandbox: Sandbox) -> None:
    """Without the rescue, a run names the paid clip that it leaves behind, and the next one rescues it."""
    await submit_only(settings)
    unhelpful = Output(film=False, report=False, rescue=False)

    left = await make(await prepare(EDITED, settings, output=unhelpful))
    rescued = await make(await prepare(EDITED, settings, output=PLAIN))

    assert [clip.status for clip in left.left_behind] == [ClipStatus.in_flight]
    assert [clip.status for clip in rescued.former] == [ClipStatus.made]
    assert sandbox.totals()["accepted"] == 3


async def test_rescues_whole_archive(settings: RunSettings, sandbox: Sandbox) -> None:
    """A rescue archives every accepted generation without a storyboard, once, and buys nothing."""
    await submit_only(settings)

    rescued = await rescue(settings)
    again = await rescue(settings)

    assert [(clip.name, clip.status) for clip in rescued] == [
        ("bell", ClipStatus.made),
        ("sea", ClipStatus.made),
    ] or [clip.name for clip in rescued] == ["sea", "bell"]
    assert not again
    assert sandbox.totals()["accepted"] == 2


async def test_rescues_others_after_failure(settings: RunSettings, sandbox: Sandbox) -> None:
    """A generation that fails, and a submission without an answer, do not stop the rescue of the others."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT", "times": 1})
    await submit_only(settings)
    prepared = await prepare(EDITED, settings, output=PLAIN)
    await record_unresolved(Store.open(str(settings.archive)), prepared.plan.clips[1])

    found = await rescue(settings)

    assert sorted(str(clip.status) for clip in found) == ["failed", "made", "unresolved"]


async def test_unreadable_clip_stops_no_other(settings: RunSettings, sandbox: Sandbox, archive: Path) -> None:
    """A clip whose record cannot be read is listed with the reason, and the others are rescued."""
    first = await submit_only(settings)
    damaged = first.clips[1].fingerprint
    (archive / "clips" / damaged / "attempt-001" / "intent.json").write_bytes(b"{")

    edited = await make(await prepare(EDITED, settings, output=PLAIN))
    found = await rescue(settings)

    assert [entry.status for entry in edited.clips] == [ClipStatus.made, ClipStatus.made]
    assert [(clip.fingerprint, clip.status) for clip in edited.former] == [(damaged, ClipStatus.unreadable)]
    assert edited.left_behind == edited.former
    assert [(clip.fingerprint, clip.status) for clip in found] == [(damaged, ClipStatus.unreadable)]
    assert "intent.json is missing or damaged; restore it from a backup" in (found[0].reason or "")
    assert sandbox.totals()["accepted"] == 3


async def test_shared_clip_is_billed_once(settings: RunSettings) -> None:
    """A clip that two productions contain is billed to the one that bought it."""
    await make(await prepare(SOUNDS, settings, output=PLAIN))

    other = await make(await prepare(EDITED, settings, name="other", output=PLAIN))
    emptied = await make(await prepare(SOUNDS, settings, name="other", output=PLAIN))

    assert other.billed_seconds == 4
    assert [(clip.name, clip.billed_seconds) for clip in emptied.former] == [("sea", 4)]


async def test_rescued_generations_take_slots(settings: RunSettings, sandbox: Sandbox) -> None:
    """While a rescue waits for a generation, it has one of the account's slots."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    await submit_only(settings)
    slots = Account.of(sandbox.url, sandbox.key).slots

    rescuing = asyncio.create_task(rescue(settings))
    async with asyncio.timeout(20):
        while await _has_room(slots):
            await asyncio.sleep(0.05)
    rescuing.cancel()
    await asyncio.wait([rescuing])

    assert await _has_room(slots)


async def _has_room(slots: Slots) -> bool:
    """Return whether an account with a limit of two may have another generation in flight."""
    try:
        slots.release(await slots.acquire(limit=2, deadline=0))
    except TimeoutError:
        return False
    return True


class NotingTurns(OldestFirst):
    """Turns that note for which expiries they were requested."""

    def __init__(self) -> None:
        super().__init__()
        self.expiries: list[datetime | None] = []

    @asynccontextmanager
    async def turn(self, expires_at: datetime | None) -> AsyncIterator[None]:
        """Wait for a turn."""
        self.expiries.append(expires_at)
        async with super().turn(expires_at):
            yield


async def test_generation_takes_turn_at_end(settings: RunSettings) -> None:
    """A generation in flight takes no turn while the API works on it, and one for its video."""
    await submit_only(settings)
    turns = NotingTurns()

    async with plain_steps()(settings) as steps:
        deadline = asyncio.get_running_loop().time() + 60
        rescuer = Rescuer(session=steps.session, steps=steps, deadline=deadline, turns=turns)
        found = await rescuer.rescue_lost(await rescuer.find_lost())

    assert [clip.status for clip in found] == [ClipStatus.made] * 2
    assert len(turns.expiries) == 2
    assert all(turns.expiries)


async def test_reasons_have_remedies(settings: RunSettings, sandbox: Sandbox) -> None:
    """A clip that is not rescued has its reason: what failed, or how to resolve the submission."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT"})
    await submit_only(settings)
    prepared = await prepare(EDITED, settings, output=PLAIN)
    await record_unresolved(Store.open(str(settings.archive)), prepared.plan.clips[1])

    reasons = {str(clip.status): clip.reason or "" for clip in await rescue(settings)}

    assert "PROCESSING_TIMEOUT" in reasons["failed"]
    assert "prefect-seedance resolve" in reasons["unresolved"]


@pytest.mark.parametrize(("days", "listed"), [(1, ["failed"]), (8, [])], ids=["news", "known"])
async def test_lost_clip_is_news_for_a_week(
    settings: RunSettings, sandbox: Sandbox, days: int, listed: list[str]
) -> None:
    """A video whose link expired is reported for a week, and then keeps no daily rescue from ending well."""
    store = Store.open(str(settings.archive))
    prepared = await prepare(EDITED, settings, output=PLAIN)
    expired = datetime.now(UTC) - timedelta(days=days)
    outcome = Outcome(
        result=Result.success,
        ended_at=expired,
        expires_at=expired,
        result_urls=(f"{sandbox.url}/files/gone.mp4",),
    )
    await record_outcome(store, prepared.plan.clips[0], outcome)

    assert [str(clip.status) for clip in await rescue(settings)] == listed
