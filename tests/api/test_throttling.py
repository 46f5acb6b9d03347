"""The phases in which the API refuses an account's requests."""

import asyncio

import pytest

from prefect_seedance.api.account import Account
from prefect_seedance.api.throttling import Throttling
from prefect_seedance.errors import ConnectionFailedError, RateLimitedError, SeedanceError
from tests.api.test_lane import ask, refuse

Noted = list[tuple[str, str, str]]


@pytest.fixture
def noted() -> Noted:
    """Return a list for what listeners hear."""
    return []


def throttling(noted: Noted, name: str = "studio") -> Throttling:
    found = Throttling(name)
    found.listeners.add(lambda account, requests, error: noted.append((account, requests, str(error))))
    return found


async def test_phase_is_reported_once(noted: Noted) -> None:
    """Many refusals of both kinds within minutes are one phase, also if requests succeed in between."""
    account = Account("studio")
    account.throttling.listeners.add(lambda *found: noted.append((found[0], found[1], str(found[2]))))

    for lane in (account.submissions, account.reads, account.submissions):
        await refuse(lane, retry_after_seconds=2)
        await ask(lane)

    assert noted == [("studio", "submissions", "slow down")]


async def test_later_phase_is_new(noted: Noted) -> None:
    """A refusal long after the last one, and after the pause that it requested, begins another phase."""
    watch = throttling(noted)

    watch.note("reads", RateLimitedError("first", retry_after_seconds=60))
    await asyncio.sleep(350)
    watch.note("reads", RateLimitedError("still the first"))
    await asyncio.sleep(301)
    watch.note("submissions", RateLimitedError("second"))

    assert noted == [("studio", "reads", "first"), ("studio", "submissions", "second")]


@pytest.mark.parametrize("pause", [1e9, float("inf")], ids=["years", "forever"])
async def test_absurd_pause_hides_nothing(noted: Noted, pause: float) -> None:
    """A refusal that requests an absurd pause does not keep later phases from being reported."""
    watch = throttling(noted)

    watch.note("reads", RateLimitedError("first", retry_after_seconds=pause))
    await asyncio.sleep(1201)
    watch.note("reads", RateLimitedError("second"))

    assert [message for _, _, message in noted] == ["first", "second"]


async def test_outage_is_no_throttling(noted: Noted) -> None:
    """Submissions also pause while the API cannot be reached, which is not a limit of the account."""
    account = Account("studio")
    account.throttling.listeners.add(lambda *found: noted.append((found[0], found[1], str(found[2]))))

    await ask(account.submissions, ConnectionFailedError("unplugged"))

    assert noted == []


async def test_listener_changes_no_refusal() -> None:
    """A listener that fails does not replace the refusal, after which the submission would be unresolved."""
    account = Account("studio")

    def fail(*_: object) -> None:
        raise ValueError("broken")

    account.throttling.listeners.add(fail)
    refusal: SeedanceError = RateLimitedError("slow down")

    with pytest.raises(RateLimitedError):
        async with account.submissions.request(10_000):
            raise refusal
