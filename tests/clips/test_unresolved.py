from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Result
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import NotFoundError, SetupError
from prefect_seedance.storage.store import Store

HOUR = timedelta(hours=1)


class Api(httpx.AsyncBaseTransport):
    """Knows one generation."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.params["taskId"] == "task_1":
            return httpx.Response(200, json={"code": 200, "data": {"state": "processing"}})
        return httpx.Response(404, json={"code": 404, "message": "unknown", "data": None})


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    return Ledger(Store.open(f"memory://{request.node.nodeid}"))


@pytest.fixture
def resolver(ledger: Ledger) -> Resolver:
    return Resolver(ledger=ledger, resolved_by="somebody on somewhere")


def client() -> SeedanceClient:
    return SeedanceClient("key", transport=Api())


async def claimed(ledger: Ledger, fingerprint: str, *, settles_in: timedelta = -HOUR) -> Attempt:
    now = datetime.now(UTC)
    attempt = await ledger.claim(
        Intent(
            fingerprint=fingerprint,
            number=1,
            name=f"clip {fingerprint}",
            production="sky",
            model="seedance-1-5-pro",
            base_url="https://api.apixo.ai",
            request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="drifting clouds")),
            asked_by="a process that died",
            asked_at=now,
            settles_by=now + settles_in,
        )
    )
    assert attempt
    return attempt


async def test_lists_unresolved(ledger: Ledger, resolver: Resolver) -> None:
    """What has neither answer nor end is listed, once its author has had its time."""
    unresolved = await claimed(ledger, "aa")
    await claimed(ledger, "bb", settles_in=HOUR)
    await ledger.accept(await claimed(ledger, "cc"), "task_3")

    assert await resolver.unresolved() == (unresolved,)


async def test_adopts_what_exists(ledger: Ledger, resolver: Resolver) -> None:
    """A generation that the API knows becomes the attempt's, with who said so."""
    await claimed(ledger, "abcd")

    async with client() as api:
        attempt = await resolver.adopt("ab", "task_1", client=api)

    assert attempt.acceptance
    assert (attempt.generation_id, attempt.acceptance.resolved_by) == ("task_1", "somebody on somewhere")
    assert await ledger.attempts("abcd") == (attempt,)


async def test_unknown_id_is_refused(ledger: Ledger, resolver: Resolver) -> None:
    """An id that the API does not know is not recorded."""
    await claimed(ledger, "abcd")

    async with client() as api:
        with pytest.raises(NotFoundError, match="task_2; nothing was recorded"):
            await resolver.adopt("abcd", "task_2", client=api)

    assert len(await resolver.unresolved()) == 1


async def test_other_clips_id_is_refused(ledger: Ledger, resolver: Resolver) -> None:
    """A generation that is another clip's already cannot be this one's."""
    await ledger.accept(await claimed(ledger, "aa"), "task_1")
    await claimed(ledger, "bb")

    async with client() as api:
        with pytest.raises(SetupError, match="already belongs to clip aa"):
            await resolver.adopt("bb", "task_1", client=api)


async def test_lost_is_recorded(ledger: Ledger, resolver: Resolver) -> None:
    """Giving an attempt up is an outcome, with who said so."""
    await claimed(ledger, "abcd")

    attempt = await resolver.declare_lost("abcd")

    assert attempt.outcome
    assert (attempt.outcome.result, attempt.outcome.resolved_by) == (Result.lost, "somebody on somewhere")


async def test_settling_is_left_alone(ledger: Ledger, resolver: Resolver) -> None:
    """While its author may still record the answer, nobody else decides."""
    await claimed(ledger, "abcd", settles_in=HOUR)

    with pytest.raises(SetupError, match="may still record an answer"):
        await resolver.declare_lost("abcd")


async def test_decided_is_left_alone(ledger: Ledger, resolver: Resolver) -> None:
    """What is accepted cannot be declared lost."""
    await ledger.accept(await claimed(ledger, "abcd"), "task_1")

    with pytest.raises(SetupError, match="Nothing about clip abcd is unresolved"):
        await resolver.declare_lost("abcd")


@pytest.mark.parametrize(("said", "found"), [("a", 2), ("x", 0)])
async def test_ambiguous_clip_is_refused(ledger: Ledger, resolver: Resolver, said: str, found: int) -> None:
    """A beginning that several clips have, or none, is not guessed at."""
    await claimed(ledger, "aa")
    await claimed(ledger, "ab")

    with pytest.raises(SetupError, match=f"{found} clips"):
        await resolver.declare_lost(said)
