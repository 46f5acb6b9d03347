import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Result
from prefect_seedance.clips.unresolved import Resolver, wait_until_resolved
from prefect_seedance.errors import (
    DeadlineError,
    NotFoundError,
    SetupError,
    SubmissionUnresolvedError,
    UnreadableRecordError,
)
from prefect_seedance.storage.store import Store

HOUR = timedelta(hours=1)


class Api(httpx.AsyncBaseTransport):
    """Knows one generation."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.params["taskId"] == "task_1":
            return httpx.Response(200, json={"code": 200, "data": {"state": "processing"}})
        return httpx.Response(404, json={"code": 404, "message": "unknown", "data": None})


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


@pytest.fixture
def resolver(ledger: Ledger) -> Resolver:
    return Resolver(ledger=ledger, resolved_by="ada on host process 7")


def client() -> SeedanceClient:
    return SeedanceClient("key", transport=Api())


async def claimed(
    ledger: Ledger, fingerprint: str, *, settles_in: timedelta = -HOUR, callback: bool = False
) -> Attempt:
    now = datetime.now(UTC)
    request = GenerateRequest(input=ClipInput(mode="text-to-video", prompt="drifting clouds"))
    if callback:
        changes = {"request_type": "callback", "callback_url": "https://hooks.example.com"}
        request = request.model_copy(update=changes)
    attempt = await ledger.claim(
        Intent(
            fingerprint=fingerprint,
            number=1,
            name=f"clip {fingerprint}",
            production="sky",
            model="seedance-1-5-pro",
            base_url="https://api.apixo.ai",
            request=request,
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


async def test_unreadable_clip_stops_no_other(ledger: Ledger, resolver: Resolver, store: Store) -> None:
    """Beside a clip with a damaged record, the others are listed and resolved, and it has its own error."""
    await claimed(ledger, "aa")
    await store.put("clips/aa/attempt-001/intent.json", b"{")
    other = await claimed(ledger, "bb")

    assert await resolver.unresolved() == (other,)
    async with client() as api:
        adopted = await resolver.adopt("bb", "task_1", client=api)
        with pytest.raises(UnreadableRecordError, match=r"aa/attempt-001/intent.json is missing or damaged"):
            await resolver.adopt("aa", "task_2", client=api)

    assert adopted.generation_id == "task_1"


@pytest.mark.parametrize("generation_id", ["task 1", "task_1\n", "x" * 201, "\udcff"], ids=ascii)
async def test_adopts_printable_ids_only(ledger: Ledger, resolver: Resolver, generation_id: str) -> None:
    """What cannot be an id is not adopted, and the API is not asked."""
    await claimed(ledger, "abcd")

    async with client() as api:
        with pytest.raises(NotFoundError, match="nothing was recorded"):
            await resolver.adopt("abcd", generation_id, client=api)

    (attempt,) = await ledger.attempts("abcd")
    assert attempt.undecided


async def test_clip_without_attempts_is_resolved(resolver: Resolver, store: Store) -> None:
    """A clip that is archived without an attempt is not unresolved."""
    await store.put("clips/aa/clip.json", b"{}")

    with pytest.raises(SetupError, match="Clip aa has no unresolved submission"):
        await resolver.declare_lost("aa")


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

    until = r"may record an answer until \d\d:\d\d:\d\d UTC; declare it lost after that"
    with pytest.raises(SetupError, match=until):
        await resolver.declare_lost("abcd")


async def test_adopts_while_settling(ledger: Ledger, resolver: Resolver) -> None:
    """A known id can be adopted at once, and an answer of the run itself overrules it."""
    claim = await claimed(ledger, "abcd", settles_in=HOUR)

    async with client() as api:
        adopted = await resolver.adopt("abcd", "task_1", client=api)
    await ledger.accept(claim, "task_7")

    assert adopted.generation_id == "task_1"
    assert (await ledger.attempts("abcd"))[0].generation_id == "task_7"


async def test_lost_answer_needs_no_wait(ledger: Ledger, resolver: Resolver) -> None:
    """Once the run recorded that it lost the answer, the attempt is unresolved for everyone."""
    await ledger.note_lost_answer(await claimed(ledger, "abcd", settles_in=HOUR), "timed out \udcff")

    (listed,) = await resolver.unresolved()
    attempt = await resolver.declare_lost("abcd")

    assert (listed.undecided, listed.settling_seconds) == (True, 0)
    assert attempt.outcome
    assert attempt.outcome.result is Result.lost


async def test_damaged_note_counts(ledger: Ledger, resolver: Resolver, store: Store) -> None:
    """The note of a lost answer needs no content."""
    attempt = await claimed(ledger, "abcd", settles_in=HOUR)
    await store.create(f"{attempt.key}no-answer.json", b"")

    assert [each.intent for each in await resolver.unresolved()] == [attempt.intent]


async def test_lost_answer_ends_the_wait(ledger: Ledger) -> None:
    """A process that waits for another one's answer ends when that one has lost it."""
    attempt = await claimed(ledger, "abcd", settles_in=HOUR)
    began = soon(0)
    waiting = asyncio.create_task(wait_until_resolved(ledger, attempt, deadline=soon()))
    await asyncio.sleep(20)

    await ledger.note_lost_answer(attempt, "timed out")

    with pytest.raises(SubmissionUnresolvedError, match=r"--adopt TASKID \(or --lost"):
        await waiting
    assert soon(0) - began < 30


async def test_refuses_accepted_attempt(ledger: Ledger, resolver: Resolver) -> None:
    """An accepted attempt cannot be declared lost."""
    await ledger.accept(await claimed(ledger, "abcd"), "task_1")

    with pytest.raises(SetupError, match="Clip abcd has no unresolved submission"):
        await resolver.declare_lost("abcd")


@pytest.mark.parametrize(("prefix", "found"), [("a", 2), ("x", 0)])
async def test_refuses_ambiguous_clip(ledger: Ledger, resolver: Resolver, prefix: str, found: int) -> None:
    """A prefix of several fingerprints, or of none, is refused."""
    await claimed(ledger, "aa")
    await claimed(ledger, "ab")

    with pytest.raises(SetupError, match=f"{found} clips"):
        await resolver.declare_lost(prefix)


def soon(seconds: float = 3600.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_waits_for_recorded_answer(ledger: Ledger) -> None:
    """An answer that another process records while it may is returned."""
    attempt = await claimed(ledger, "abcd", settles_in=HOUR)
    waiting = asyncio.create_task(wait_until_resolved(ledger, attempt, deadline=soon()))
    await asyncio.sleep(20)

    accepted = await ledger.accept(attempt, "task_1")

    assert await waiting == accepted


async def test_wait_ends_with_time_to_answer(ledger: Ledger) -> None:
    """Once no answer can be recorded any more, the error names the command that resolves the attempt."""
    attempt = await claimed(ledger, "abcd")

    with pytest.raises(SubmissionUnresolvedError, match=r"prefect-seedance resolve \S+ abcd --adopt TASKID"):
        await wait_until_resolved(ledger, attempt, deadline=soon())


async def test_wait_ends_at_deadline(ledger: Ledger) -> None:
    """A deadline before that is an error of its own, which names the other process."""
    attempt = await claimed(ledger, "abcd", settles_in=HOUR)

    with pytest.raises(DeadlineError, match="is being submitted by a process that crashed"):
        await wait_until_resolved(ledger, attempt, deadline=soon(10))


@pytest.mark.parametrize(("expect_callback", "least"), [(False, 0), (True, 120)], ids=["no", "yes"])
async def test_waits_longer_for_callback(ledger: Ledger, expect_callback: bool, least: float) -> None:  # noqa: FBT001 -- a table's column
    """If a callback is expected, the wait continues until it would have arrived."""
    attempt = await claimed(ledger, "abcd", callback=True)
    began = soon(0)

    with pytest.raises(SubmissionUnresolvedError):
        await wait_until_resolved(ledger, attempt, deadline=soon(), expect_callback=expect_callback)

    assert least <= soon(0) - began < least + 600
    assert expect_callback or soon(0) - began < 2
