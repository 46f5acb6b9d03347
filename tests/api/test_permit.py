import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from prefect_seedance.api.permit import Permit
from prefect_seedance.errors import NotSentError


async def test_permits_until_it_ends() -> None:
    """A request may be sent while the permit lasts, and not later."""
    permit = Permit.lasting(60)
    await asyncio.sleep(59)
    permit.begin()
    await asyncio.sleep(1)

    with pytest.raises(NotSentError, match="time to send"):
        permit.begin()


async def test_wall_clock_ends_permit() -> None:
    """After a suspension the monotonic clock has not moved, but the wall clock has."""
    permit = Permit.lasting(60)
    permit.expires_at = datetime.now(UTC) - timedelta(seconds=1)

    with pytest.raises(NotSentError):
        permit.begin()

    assert not permit.may_have_started


async def test_monotonic_clock_ends_permit() -> None:
    """A wall clock that was set back does not prolong a permit."""
    permit = Permit.lasting(60)
    permit.expires_at += timedelta(hours=1)
    await asyncio.sleep(60)

    with pytest.raises(NotSentError):
        permit.begin()


async def test_revoked_permit_ends_wait() -> None:
    """A wait for the request's turn ends as soon as the permit is revoked."""
    permit, began = Permit.lasting(600), asyncio.get_running_loop().time()
    asyncio.get_running_loop().call_later(1, permit.revoke)

    with pytest.raises(NotSentError, match="stopped"):
        async with permit.waiting():
            await asyncio.sleep(500)
    with pytest.raises(NotSentError, match="stopped"):
        async with permit.waiting():
            await asyncio.sleep(500)

    assert asyncio.get_running_loop().time() - began < 2


async def test_wait_ends_with_permit() -> None:
    """A wait is no longer than the permit lasts."""
    permit = Permit.lasting(60)

    with pytest.raises(NotSentError, match="time to send"):
        async with permit.waiting():
            await asyncio.sleep(61)


async def test_revoked_twice_is_revoked() -> None:
    """Revoking again, also while a wait is ending, changes nothing."""
    permit = Permit.lasting(1)
    for seconds in (0.5, 0.5, 2):
        asyncio.get_running_loop().call_later(seconds, permit.revoke)

    with pytest.raises(NotSentError):
        async with permit.waiting():
            await asyncio.sleep(10)
    await asyncio.sleep(3)

    with pytest.raises(NotSentError):
        permit.begin()
