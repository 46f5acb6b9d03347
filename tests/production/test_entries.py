"""The manifest's entries, from what the ledger records."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.sources import expiry
from prefect_seedance.clips.submit import describe_run
from prefect_seedance.errors import (
    ArchiveError,
    AuthenticationError,
    DeadlineError,
    GenerationFailedError,
    LinkExpiredError,
    SubmissionUnresolvedError,
)
from prefect_seedance.options import RetryPolicy
from prefect_seedance.production.entries import Bookkeeper
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import (
    FAILED,
    LOST,
    REFUSED,
    SUCCEEDED,
    intent_of,
    record_in_flight,
    record_outcome,
    record_unresolved,
)

CLIP = PlannedClip(
    name="bell", prompt="a bell rings", images=(), settings=ClipSettings(), number=1, fingerprint="f" * 32
)
EXPIRES_AT = datetime(2099, 12, 12, 10, tzinfo=UTC)
SETTINGS = RunSettings(
    credentials=Credentials(api_key=SecretStr("sd-key")),
    flow_run=FlowRunRef(name="dawn", id="7"),
    run_id="dawn",
)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


@pytest.fixture
def books(store: Store) -> Bookkeeper:
    """Return the books of a run that begins now."""
    return Bookkeeper(store=store, ledger=Ledger(store), settings=SETTINGS)


def own(attempt: Attempt, *, run_id: str = "dawn") -> Attempt:
    """Return an attempt as this run would have submitted it."""
    return attempt.model_copy(update={"intent": attempt.intent.model_copy(update={"run_id": run_id})})


async def test_nothing_was_submitted(books: Bookkeeper) -> None:
    """A clip without attempts was not submitted, for the reason of the error."""
    entry = await books.explain(CLIP, AuthenticationError("The key is wrong"))

    assert entry.status is ClipStatus.not_submitted
    assert (entry.reason, entry.cause) == ("The key is wrong", "AuthenticationError")
    assert entry.billed_seconds == 0


async def test_last_attempt_decides(books: Bookkeeper, store: Store) -> None:
    """A clip in flight at the deadline is in flight, with the API's id."""
    await record_in_flight(store, CLIP)

    entry = await books.explain(CLIP, DeadlineError("too late"))

    assert (entry.status, entry.generation_id) == (ClipStatus.in_flight, "task_1")


@pytest.mark.parametrize(
    "error",
    [DeadlineError("The run was stopped"), RuntimeError("a bug")],
    ids=["stopped", "bug"],
)
async def test_unarchived_clip_says_until_when(error: Exception, books: Bookkeeper, store: Store) -> None:
    """A clip that is paid and not archived says until when its link works, and what to run."""
    await record_outcome(store, CLIP, SUCCEEDED.model_copy(update={"expires_at": EXPIRES_AT}))

    entry = await books.explain(CLIP, error)

    assert entry.status is ClipStatus.not_archived
    assert entry.reason == (
        f"{error}; its link expires at 2099-12-12 10:00 UTC; "
        f"before then, run again, or run: prefect-seedance rescue '{store.url}'"
    )


@pytest.mark.parametrize("run_id", ["", "dawn"], ids=["another run", "this run"])
async def test_old_failure_has_date(run_id: str, books: Bookkeeper) -> None:
    """A clip that failed before the run began says when, unless the run submitted it itself."""
    intent = intent_of(CLIP).model_copy(update={"run_id": run_id})
    attempt = await books.ledger.claim(intent)
    assert attempt
    await books.ledger.conclude(await books.ledger.accept(attempt, "task_1"), FAILED)

    entry = await books.explain(CLIP, GenerationFailedError("bell: PROCESSING_TIMEOUT"))

    note = f"; it failed earlier, at {FAILED.ended_at:%Y-%m-%d %H:%M} UTC"
    assert entry.reason == "bell: PROCESSING_TIMEOUT" + ("" if run_id else note)


async def test_archiving_error_says_it_once(books: Bookkeeper, store: Store) -> None:
    """An error that already says until when the link works is not repeated."""
    outcome = SUCCEEDED.model_copy(update={"expires_at": EXPIRES_AT})
    await record_outcome(store, CLIP, outcome)
    error = ArchiveError(f"bell: no link works; {expiry(outcome, archive=store.name)}")

    entry = await books.explain(CLIP, error)

    assert entry.reason == str(error)


async def test_lost_clip_has_failed(books: Bookkeeper, store: Store) -> None:
    """A video that the API no longer keeps has failed, and nothing asks to run again."""
    expired = SUCCEEDED.model_copy(update={"expires_at": datetime(2026, 1, 1, tzinfo=UTC)})
    await record_outcome(store, CLIP, expired)

    entry = await books.explain(CLIP, LinkExpiredError("bell is lost"))

    assert (entry.status, entry.reason) == (ClipStatus.failed, "bell is lost")


async def test_unresolved_has_its_remedy(books: Bookkeeper, store: Store) -> None:
    """An unresolved submission is reported as such, whatever stopped the run."""
    await record_unresolved(store, CLIP)

    entry = await books.explain(CLIP, DeadlineError("The run was stopped"))

    assert entry.status is ClipStatus.unresolved
    assert entry.cause == SubmissionUnresolvedError.__name__
    assert "resolve" in (entry.reason or "")


async def test_names_unreadable_record(books: Bookkeeper, store: Store) -> None:
    """A clip with a damaged record has a status of its own, and the reason names record and remedy."""
    await store.put(f"clips/{CLIP.fingerprint}/attempt-001/intent.json", b"{")

    entry = await books.explain(CLIP, DeadlineError("The run was stopped"))

    assert (entry.status, entry.cause) == (ClipStatus.unreadable, "UnreadableRecordError")
    assert "intent.json is missing or damaged; restore it from a backup" in (entry.reason or "")


async def test_unreadable_archive_is_unresolved(books: Bookkeeper, tmp_path: Path) -> None:
    """If the archive cannot be read, a clip that this run has not submitted may still be paid for."""
    books.ledger = Ledger(Store.open(str(tmp_path)))
    (tmp_path / "clips").touch()

    entry = await books.explain(CLIP, DeadlineError("The run was stopped"))

    assert entry.status is ClipStatus.unresolved


async def test_own_attempt_is_remembered(books: Bookkeeper, store: Store) -> None:
    """If the ledger cannot be read any more, the attempt of this run decides."""
    books.seen[CLIP.fingerprint] = own(await record_in_flight(store, CLIP))
    await store.put(f"clips/{CLIP.fingerprint}/attempt-001/accepted.json", b"{")

    entry = await books.explain(CLIP, DeadlineError("The run was stopped"))

    assert (entry.status, entry.generation_id) == (ClipStatus.in_flight, "task_1")
    assert entry.billed_seconds == CLIP.settings.duration


@pytest.mark.parametrize(
    ("change", "billed"),
    [
        (own, 4),
        (lambda attempt: own(attempt, run_id="noon"), 0),
        (lambda attempt: own(attempt.model_copy(update={"outcome": FAILED})), 4),
        (lambda attempt: own(attempt.model_copy(update={"outcome": REFUSED})), 0),
    ],
    ids=["own", "of another run", "failed", "refused"],
)
async def test_bills_own_submissions(
    change: Callable[[Attempt], Attempt], billed: int, books: Bookkeeper
) -> None:
    """A run bills what it has submitted itself, unless nothing was started."""
    attempt = Attempt(intent=intent_of(CLIP))

    assert await books.billed_seconds(change(attempt)) == billed


async def test_bills_every_own_attempt(books: Bookkeeper, store: Store) -> None:
    """A run that paid for a second attempt, and then got the video of the first, bills the second."""
    first = await record_in_flight(store, CLIP)
    second = intent_of(CLIP).model_copy(update={"number": 2, "run_id": "dawn"})
    await books.ledger.claim(second)

    assert await books.billed_seconds(first) == CLIP.settings.duration


async def test_names_resubmitted_attempts(books: Bookkeeper, store: Store) -> None:
    """A clip that this run submitted again is marked, because it may be billed twice."""
    given_up = LOST.model_copy(update={"resolved_by": describe_run(SETTINGS.flow_run)})
    attempt = await record_outcome(store, CLIP, given_up)
    resubmitting = replace(books, settings=replace(SETTINGS, retry=RetryPolicy(on_unresolved="resubmit")))

    note = await resubmitting.resubmitted(attempt)

    assert note == "attempt 1 was unresolved, and the clip was submitted again: it may be billed twice"
    assert await books.resubmitted(attempt) is None


async def test_first_attempt_needs_no_note(books: Bookkeeper, store: Store) -> None:
    """A run that may resubmit, and did not, leaves no note."""
    attempt = await record_outcome(store, CLIP, FAILED)
    resubmitting = replace(books, settings=replace(SETTINGS, retry=RetryPolicy(on_unresolved="resubmit")))

    assert await resubmitting.resubmitted(attempt) is None
