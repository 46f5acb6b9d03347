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
    return Resolver(ledger=ledger, resolved_by="ada on host process 7")


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
            asked_by="a process that crashed",
            asked_at=now,
            settles_by=now + settles_in,
        )
    )
    assert attempt
    return attempt


async def test_lists_unresolved(ledger: Ledger, resolver: Resolver) -> None:
    """An attempt without an answer is listed, once its run can no longer record one."""
    unresolved = await claimed(ledger, "aa")
    await claimed(ledger, "bb", settles_in=HOUR)
    await ledger.accept(await claimed(ledger, "cc"), "task_3")

    assert await resolver.unresolved() == (unresolved,)


async def test_adopts_known_generation(ledger: Ledger, resolver: Resolver) -> None:
    """A generation that the API knows is recorded, with the person who named it."""
    await claimed(ledger, "abcd")

    async with client() as api:
        attempt = await resolver.adopt("ab", "task_1", client=api)

    assert attempt.acceptance
    assert (attempt.generation_id, attempt.acceptance.resolved_by) == ("task_1", "ada on host process 7")
    assert await ledger.attempts("abcd") == (attempt,)


async def test_refuses_unknown_id(ledger: Ledger, resolver: Resolver) -> None:
    """An id that the API does not know is not recorded."""
    await claimed(ledger, "abcd")

    async with client() as api:
        with pytest.raises(NotFoundError, match="task_2; nothing was recorded"):
            await resolver.adopt("abcd", "task_2", client=api)

    assert len(await resolver.unresolved()) == 1


async def test_refuses_id_of_other_clip(ledger: Ledger, resolver: Resolver) -> None:
    """A generation that belongs to another clip is not recorded."""
    await ledger.accept(await claimed(ledger, "aa"), "task_1")
    await claimed(ledger, "bb")

    async with client() as api:
        with pytest.raises(SetupError, match="already belongs to clip aa"):
            await resolver.adopt("bb", "task_1", client=api)


async def test_records_loss(ledger: Ledger, resolver: Resolver) -> None:
    """Declaring an attempt lost records an outcome, with the person who declared it."""
    await claimed(ledger, "abcd")

    attempt = await resolver.declare_lost("abcd")

    assert attempt.outcome
    assert (attempt.outcome.result, attempt.outcome.resolved_by) == (Result.lost, "ada on host process 7")


async def test_refuses_while_settling(ledger: Ledger, resolver: Resolver) -> None:
    """While the run may still record an answer, a person cannot resolve the attempt."""
    await claimed(ledger, "abcd", settles_in=HOUR)

    with pytest.raises(SetupError, match="may still record an answer"):
        await resolver.declare_lost("abcd")


async def test_refuses_accepted_attempt(ledger: Ledger, resolver: Resolver) -> None:
    """An accepted attempt cannot be declared lost."""
    await ledger.accept(await claimed(ledger, "abcd"), "task_1")

    with pytest.raises(SetupError, match="Nothing about clip abcd is unresolved"):
        await resolver.declare_lost("abcd")


@pytest.mark.parametrize(("prefix", "found"), [("a", 2), ("x", 0)])
async def test_refuses_ambiguous_clip(ledger: Ledger, resolver: Resolver, prefix: str, found: int) -> None:
    """A prefix of several fingerprints, or of none, is refused."""
    await claimed(ledger, "aa")
    await claimed(ledger, "ab")

    with pytest.raises(SetupError, match=f"{found} clips"):
        await resolver.declare_lost(prefix)
