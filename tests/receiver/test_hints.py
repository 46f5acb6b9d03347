import asyncio

import pytest

from prefect_seedance.api.callback_urls import AttemptRef
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Outcome
from prefect_seedance.receiver.hints import Hints
from prefect_seedance.storage.store import Store
from tests.receiving import intent


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


@pytest.fixture
def hints(store: Store) -> Hints:
    return Hints(store)


def ref(attempt: Attempt) -> AttemptRef:
    return AttemptRef(attempt.intent.fingerprint, attempt.intent.number)


async def test_keeps_first_hint(hints: Hints) -> None:
    """Of several hints for one attempt, also at once, one is stored and none replaces it."""
    attempt = Attempt(intent=intent())

    await asyncio.gather(*[hints.record(ref(attempt), f"task_{number}") for number in range(20)])
    first = await hints.generation_id(attempt)
    await hints.record(ref(attempt), "task_20")

    assert first in {f"task_{number}" for number in range(20)}
    assert await hints.generation_id(attempt) == first


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"{}"], ids=["empty", "cut off", "null", "no fields"]
)
async def test_damaged_hint_has_no_id(hints: Hints, store: Store, content: bytes) -> None:
    """A hint that cannot be read has no id, and stays a hint."""
    attempt = Attempt(intent=intent())
    await store.put(attempt.key + "called.json", content)

    assert await hints.generation_id(attempt) is None
    assert await hints.pending() == (ref(attempt),)


async def test_hint_needs_no_id(hints: Hints) -> None:
    """A callback without an id is a hint too."""
    attempt = Attempt(intent=intent())

    await hints.record(ref(attempt), None)

    assert await hints.generation_id(attempt) is None
    assert await hints.pending() == (ref(attempt),)


async def test_pending_hints_have_no_outcome(hints: Hints, store: Store) -> None:
    """Attempts with a hint are pending until their outcome is recorded; those without a hint never are."""
    for number in (1, 2, 3):
        attempt = await Ledger(store).claim(intent(number))
        assert attempt
        if number < 3:
            await hints.record(ref(attempt), "task_1")
        if number == 2:
            await Ledger(store).conclude(attempt, Outcome.of_loss(resolved_by="a person"))

    assert await hints.pending() == (AttemptRef(f"{1:032}", 1),)
