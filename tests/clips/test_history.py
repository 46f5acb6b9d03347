"""The status of a clip, as its records show."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger
from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import (
    FAILED,
    LOST,
    REFUSED,
    REJECTED,
    SUCCEEDED,
    intent_of,
    planned_clip,
    record_archived,
    record_in_flight,
    record_outcome,
    record_submitting,
    record_unreadable,
    record_unresolved,
)

Record = Callable[[Store, PlannedClip], Awaitable[Any]]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


def ended(outcome: Outcome) -> Record:
    return partial(record_outcome, outcome=outcome)


async def nothing(store: Store, clip: PlannedClip) -> None:
    """Record nothing."""


@pytest.mark.parametrize(
    ("record", "status"),
    [
        pytest.param(nothing, ClipStatus.new, id="nothing"),
        pytest.param(record_submitting, ClipStatus.submitting, id="submitting"),
        pytest.param(record_unresolved, ClipStatus.unresolved, id="unresolved"),
        pytest.param(record_unreadable, ClipStatus.unreadable, id="unreadable"),
        pytest.param(record_in_flight, ClipStatus.in_flight, id="accepted"),
        pytest.param(ended(SUCCEEDED), ClipStatus.not_archived, id="not archived"),
        pytest.param(ended(FAILED), ClipStatus.failed, id="failed"),
        pytest.param(ended(REJECTED), ClipStatus.failed, id="rejected"),
        pytest.param(ended(REFUSED), ClipStatus.not_submitted, id="refused"),
        pytest.param(ended(LOST), ClipStatus.lost, id="lost"),
        pytest.param(record_archived, ClipStatus.archived, id="archived"),
    ],
)
async def test_records_decide_status(record: Record, status: ClipStatus, store: Store) -> None:
    """The last attempt and the archived video decide a clip's status."""
    await record(store, planned_clip())

    histories = await clip_histories(store, [planned_clip().fingerprint])

    assert histories[planned_clip().fingerprint].status is status


@pytest.mark.parametrize("result", Result)
async def test_every_result_has_status(result: Result, store: Store) -> None:
    """No way in which an attempt may end is without a status."""
    attempt = await record_in_flight(store, planned_clip())
    outcome = SUCCEEDED.model_copy(update={"result": result})

    history = ClipHistory(attempts=(attempt.model_copy(update={"outcome": outcome}),))

    assert history.status in ClipStatus


async def test_archived_video_overrules_attempts(store: Store) -> None:
    """A clip with a video is archived, even if a later attempt failed."""
    await record_outcome(store, planned_clip(), FAILED)
    archived = await record_archived(store, planned_clip())

    history = (await clip_histories(store, [planned_clip().fingerprint]))[planned_clip().fingerprint]

    assert (history.status, history.clip) == (ClipStatus.archived, archived)
    assert history.decisive
    assert history.decisive.outcome == FAILED


async def test_open_attempt_decides(store: Store) -> None:
    """After a failure, a later attempt without an answer decides."""
    first = await record_outcome(store, planned_clip(), FAILED)
    second = await Ledger(store).claim(intent_of(planned_clip()).model_copy(update={"number": 2}))

    history = (await clip_histories(store, [planned_clip().fingerprint]))[planned_clip().fingerprint]

    assert history.attempts == (first, second)
    assert history.decisive == second
    assert history.status is ClipStatus.unresolved


async def test_reads_many_clips(store: Store) -> None:
    """More clips than are read at once have their own histories, by fingerprint."""
    clips = [planned_clip(number) for number in range(1, 2 * CONCURRENT_READS)]
    await asyncio.gather(*[record_in_flight(store, each) for each in clips])

    histories = await clip_histories(store, [each.fingerprint for each in clips])

    assert list(histories) == [each.fingerprint for each in clips]
    assert all(
        history.decisive and history.decisive.intent.fingerprint == fingerprint
        for fingerprint, history in histories.items()
    )


@pytest.mark.parametrize("record", ["attempt-001/intent.json", "attempt-002/outcome.json", "clip.json"])
async def test_damaged_record_hides_nothing(store: Store, record: str) -> None:
    """A clip with a damaged record is unreadable, with the attempts that can be read; others are as ever."""
    damaged, other = planned_clip(1), planned_clip(2)
    for each in (damaged, other):
        await record_outcome(store, each, FAILED)
        await Ledger(store).claim(intent_of(each).model_copy(update={"number": 2}))
    await store.put(f"clips/{damaged.fingerprint}/{record}", b"{")

    histories = await clip_histories(store, [damaged.fingerprint, other.fingerprint])

    assert histories[damaged.fingerprint].status is ClipStatus.unreadable
    (error,) = histories[damaged.fingerprint].unreadable
    assert record in str(error)
    assert len(histories[damaged.fingerprint].attempts) == 2 - record.startswith("attempt")
    assert histories[other.fingerprint].status is ClipStatus.unresolved
    assert len(histories[other.fingerprint].attempts) == 2


async def test_archived_clip_needs_no_attempts(store: Store) -> None:
    """An archived clip can be used although a record of an attempt is damaged, which is still reported."""
    await record_archived(store, planned_clip())
    await record_unreadable(store, planned_clip())

    history = (await clip_histories(store, [planned_clip().fingerprint]))[planned_clip().fingerprint]

    assert history.status is ClipStatus.archived
    assert history.unreadable
