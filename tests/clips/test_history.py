from datetime import UTC, datetime, timedelta

import pytest

from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Outcome, Result
from prefect_seedance.errors import ContentRejectedError, FailKind
from prefect_seedance.storage.store import Store
from tests.status_api import accepted


def ended(result: Result) -> Attempt:
    return accepted().model_copy(update={"outcome": Outcome(result=result, ended_at=datetime.now(UTC))})


def unanswered(*, settles_in: float) -> Attempt:
    attempt = accepted()
    settles_by = datetime.now(UTC) + timedelta(seconds=settles_in)
    intent = attempt.intent.model_copy(update={"settles_by": settles_by})
    return Attempt(intent=intent)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        pytest.param((), ClipStatus.new, id="never submitted"),
        pytest.param((unanswered(settles_in=3600),), ClipStatus.submitting, id="may still be answered"),
        pytest.param((unanswered(settles_in=-1),), ClipStatus.unresolved, id="never answered"),
        pytest.param((accepted(),), ClipStatus.in_flight, id="accepted"),
        pytest.param((ended(Result.success),), ClipStatus.generated, id="success"),
        pytest.param((ended(Result.failed),), ClipStatus.failed, id="failed"),
        pytest.param((ended(Result.not_started),), ClipStatus.not_submitted, id="not started"),
        pytest.param((ended(Result.lost),), ClipStatus.lost, id="lost"),
        pytest.param((ended(Result.failed), accepted()), ClipStatus.in_flight, id="the latest counts"),
    ],
)
def test_status_follows_latest_attempt(attempts: tuple[Attempt, ...], expected: ClipStatus) -> None:
    """Without an archived video, the latest attempt decides the status."""
    assert ClipHistory(attempts).status is expected


async def test_reads_every_clip(request: pytest.FixtureRequest) -> None:
    """The history of a clip has all its attempts; a clip that was never submitted has an empty one."""
    store = Store.open(f"memory://{request.node.nodeid}")
    ledger = Ledger(store)
    first = await ledger.claim(accepted(1).intent)
    assert first
    refusal = Outcome.of_refusal(ContentRejectedError("No."), kind=FailKind.content)
    first = await ledger.conclude(first, refusal)
    second = await ledger.claim(accepted(1).intent.model_copy(update={"number": 2}))
    assert second

    histories = await clip_histories(store, [f"{1:032}", f"{2:032}"])

    assert histories == {f"{1:032}": ClipHistory((first, second)), f"{2:032}": ClipHistory()}
