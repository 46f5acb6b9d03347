import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress

import pytest

from prefect_seedance.api.account import Account
from prefect_seedance.api.lane import Lane
from prefect_seedance.api.slots import Block, Share
from prefect_seedance.errors import ConnectionFailedError, RateLimitedError, SeedanceError, ServerError

FAST = 10_000


def now() -> float:
    return asyncio.get_running_loop().time()


async def ask(lane: Lane, error: SeedanceError | None = None, *, limit: float = FAST) -> float:
    """Send a request with this error or a success, and return when it was sent."""
    with suppress(SeedanceError):
        async with lane.request(limit):
            sent = now()
            if error:
                raise error
    return sent


async def refuse(lane: Lane, retry_after_seconds: float | None = None, *, limit: float = FAST) -> float:
    error = RateLimitedError("slow down", retry_after_seconds=retry_after_seconds)
    return await ask(lane, error, limit=limit)


async def moments(number: int, lane: Lane, *, limit: float = FAST) -> list[float]:
    """Return when several requests are sent that wait at the same time, relative to now."""
    began = now()
    return [
        round(sent - began, 1)
        for sent in await asyncio.gather(*[ask(lane, limit=limit) for _ in range(number)])
    ]


async def hold(lane: Lane, seconds: float = 5, error: SeedanceError | None = None) -> None:
    """Send a request that is answered late."""
    async with lane.request(FAST):
        await asyncio.sleep(seconds)
        if error:
            raise error


@pytest.fixture
def lane() -> Lane:
    return Account().submissions


async def test_refusal_holds_everyone(lane: Lane) -> None:
    """After a 429 nothing is sent for as long as the API requests."""
    began = await refuse(lane, 7)

    assert 7 <= await ask(lane) - began < 7.5


async def test_refusal_holds_the_queue(lane: Lane) -> None:
    """Requests that wait for their pace during a 429 wait again, and are not sent in a burst."""
    refused = asyncio.create_task(hold(lane, 0.05, RateLimitedError("", retry_after_seconds=5)))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(moments(5, lane, limit=600))
    await asyncio.wait([refused])

    sent = sorted(await waiting)

    assert sent == pytest.approx([0, 5.1, 5.2, 5.3, 5.4], abs=0.5)


@pytest.mark.parametrize("requested", [None, 0.0], ids=["no header", "zero"])
async def test_pauses_grow(lane: Lane, requested: float | None) -> None:
    """Without Retry-After, each consecutive refusal doubles the pause, up to a minute."""
    sent = [await refuse(lane, requested) for _ in range(9)]

    pauses = [round(later - sooner) for sooner, later in itertools.pairwise(sent)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_day_of_refusals(lane: Lane) -> None:
    """After more than a thousand refusals the pause is still a minute."""
    lane._refusals = 1_100
    began = await refuse(lane)

    assert round(await ask(lane) - began) == 60


async def test_requested_pause_has_a_bound(lane: Lane) -> None:
    """If the API requests a pause of a day, a probe is sent after a quarter of an hour."""
    began = await refuse(lane, 86_400)

    assert round(await ask(lane) - began) == 900


async def test_success_forgets_refusals(lane: Lane) -> None:
    """After a successful request the next pause is short again."""
    for _ in range(4):
        await refuse(lane)
    await ask(lane)

    began = await refuse(lane)

    assert round(await ask(lane) - began) == 1


async def test_concurrent_refusals_count_once(lane: Lane) -> None:
    """Sixteen concurrent requests that are all refused are one refusal, also when some answers are late."""
    answers = [hold(lane, seconds, RateLimitedError("")) for seconds in (1.0, 1.5, 2.5, 2.9)]
    await asyncio.gather(*answers, return_exceptions=True)
    began = now()

    second = await refuse(lane)

    assert second - began < 0.5
    assert round(await ask(lane) - second) == 2


async def test_longest_pause_counts(lane: Lane) -> None:
    """Of several concurrent refusals, the longest requested pause counts."""
    began = now()
    errors = [RateLimitedError("", retry_after_seconds=seconds) for seconds in (None, 30, 5)]
    await asyncio.gather(*[hold(lane, 0.1, error) for error in errors], return_exceptions=True)

    assert 30 <= await ask(lane) - began < 30.5


async def test_late_success_opens_nothing(lane: Lane) -> None:
    """The success of a request that was sent before a refusal does not end the pause."""
    early = asyncio.create_task(hold(lane, 2))
    await asyncio.sleep(0.5)
    began = await refuse(lane, 20)
    await early

    assert 20 <= await ask(lane) - began < 20.5


async def test_pause_ends_at_its_time(lane: Lane) -> None:
    """Requests that queued at a reduced pace before a refusal do not delay the probe after its pause."""
    for _ in range(30):
        await refuse(lane, 1)
    await ask(lane)
    refused = asyncio.create_task(hold(lane, 5, RateLimitedError("", retry_after_seconds=4)))
    await asyncio.sleep(3)
    queue = [asyncio.create_task(ask(lane)) for _ in range(20)]
    await asyncio.wait([refused])
    began = now()

    sent = sorted(await asyncio.gather(*queue))

    assert isinstance(refused.exception(), RateLimitedError)
    assert sum(each < began for each in sent) <= 2
    assert min(each for each in sent if each >= began) - began == pytest.approx(4, abs=0.5)


async def test_succeeded_probe_holds_no_later_one(lane: Lane) -> None:
    """A request whose probe succeeded does not hold up the probe after the next refusal."""
    await refuse(lane)

    async with lane.admission(FAST):
        await ask(lane)
        began = await refuse(lane, 10)
        admitted = await asyncio.wait_for(_admitted(lane), 60)

    assert admitted - began == pytest.approx(10, abs=0.5)


async def test_one_probe_at_a_time(lane: Lane) -> None:
    """After a pause one request is sent, and the others wait for its answer."""
    began = await refuse(lane, 10)
    probe = asyncio.create_task(hold(lane, 5))
    await asyncio.sleep(0.1)

    others = await moments(3, lane)

    assert probe.done()
    assert began + 15 <= now()
    assert all(14.5 < sent < 15.5 for sent in others)


async def test_refused_probe_prolongs_pause(lane: Lane) -> None:
    """If the probe is refused, the others wait for a longer pause and the next probe."""
    await refuse(lane)
    probe = asyncio.create_task(hold(lane, 5, RateLimitedError("")))
    await asyncio.sleep(0.1)
    began = now()

    sent = await asyncio.gather(*[ask(lane) for _ in range(3)])

    assert isinstance(probe.exception(), RateLimitedError)
    assert all(round(each - began) == 1 + 5 + 2 for each in sent)


PROBES: dict[str, Callable[[Lane], Coroutine[None, None, object]]] = {
    "error": lambda lane: hold(lane, 5, ServerError("")),
    "cancelled": lambda lane: hold(lane, 3600),
    "cancelled while paced": lambda lane: ask(lane, limit=1),
}


@pytest.mark.parametrize("begin", PROBES.values(), ids=PROBES)
async def test_probe_is_passed_on(lane: Lane, begin: Callable[[Lane], Coroutine[None, None, object]]) -> None:
    """If the probe ends without success or refusal, the next request becomes the probe at once."""
    await ask(lane, limit=1)
    began = await refuse(lane, 10)
    probe = asyncio.create_task(begin(lane))
    others = [asyncio.create_task(ask(lane, ServerError(""))) for _ in range(3)]
    await asyncio.sleep(14.9)
    are_held = not any(other.done() for other in others)

    probe.cancel()
    sent = await asyncio.gather(*others)

    assert are_held
    assert sent == pytest.approx([began + 15] * 3, abs=0.5)
    await asyncio.gather(probe, return_exceptions=True)


async def test_cancelled_waiter_keeps_the_queue(lane: Lane) -> None:
    """Requests that are cancelled while they wait for a pause or a probe hold up no other."""
    began = await refuse(lane, 10)
    cancelled = [asyncio.create_task(ask(lane)) for _ in range(3)]
    last = asyncio.create_task(ask(lane))
    await asyncio.sleep(5)

    for each in cancelled:
        each.cancel()

    assert 10 <= await last - began < 10.5


async def test_pace_halves_and_recovers(lane: Lane) -> None:
    """A 429 halves the pace, and successful requests win it back."""
    await refuse(lane, 1, limit=60)
    await asyncio.sleep(1)

    halved = await moments(4, lane, limit=60)
    for _ in range(50):
        await ask(lane, limit=60)
    await asyncio.sleep(60)
    recovered = await moments(4, lane, limit=60)

    assert halved == pytest.approx([0, 2, 4, 6], abs=0.5)
    assert recovered == pytest.approx([0, 1, 2, 3], abs=0.5)


async def test_pace_has_a_floor(lane: Lane) -> None:
    """However often the API refuses, one request is sent every two seconds."""
    for _ in range(30):
        await refuse(lane, 1)
    await asyncio.sleep(10)

    assert await moments(4, lane) == pytest.approx([0, 2, 4, 6], abs=0.5)


async def test_slow_accounts_stay_slow(lane: Lane) -> None:
    """After a refusal, the pace never exceeds a client's own limit."""
    await refuse(lane, 1, limit=6)

    assert await moments(4, lane, limit=6) == pytest.approx([10, 20, 30, 40], abs=0.5)


async def test_admission_waits_for_probe(lane: Lane) -> None:
    """After a refusal one request is admitted; the others wait until it has ended."""
    began = await refuse(lane, 10)
    admitted = []

    async def admit() -> None:
        async with lane.admission(FAST):
            admitted.append(round(now() - began))
            await asyncio.sleep(5)

    await asyncio.gather(*[admit() for _ in range(3)])

    assert admitted == [10, 15, 20]


async def test_admitted_success_admits_all(lane: Lane) -> None:
    """When an admitted request succeeds, the others are admitted at once."""
    began = await refuse(lane, 10)
    admitted = []

    async def admit() -> None:
        async with lane.admission(FAST):
            admitted.append(round(now() - began))
            await ask(lane)
            await asyncio.sleep(5)

    await asyncio.gather(*[admit() for _ in range(3)])

    assert admitted == [10, 10, 10]


async def test_cancelled_admission_is_passed_on(lane: Lane) -> None:
    """If the only admitted request is cancelled, the next one is admitted."""
    began = await refuse(lane, 10)

    async def admit() -> float:
        async with lane.admission(FAST):
            admitted = now()
            await asyncio.sleep(3600)
        return admitted

    first = asyncio.create_task(admit())
    second = asyncio.create_task(_admitted(lane))
    await asyncio.sleep(30)
    first.cancel()

    assert 30 <= await second - began < 30.5


async def test_admitted_request_leaves_at_once(lane: Lane) -> None:
    """Requests are admitted at the pace, so that none that is prepared has to wait for it."""
    began, waited = now(), []

    async def admit() -> None:
        async with lane.admission(6):
            admitted = now()
            await asyncio.sleep(1)  # to record it
            waited.append((round(admitted - began), round(await ask(lane, limit=6) - admitted)))

    await asyncio.gather(*[admit() for _ in range(3)])

    assert waited == [(0, 1), (10, 1), (20, 1)]


async def test_second_request_keeps_the_pace(lane: Lane) -> None:
    """An admission stands for one request; those that retry it, or follow one that sent none, are paced."""
    began = now()

    async with lane.admission(6):
        pass
    async with lane.admission(6):
        sent = [round(await ask(lane, limit=6) - began) for _ in range(2)]

    assert sent == [10, 20]


async def _admitted(lane: Lane) -> float:
    async with lane.admission(FAST):
        return now()


@pytest.mark.parametrize(
    ("kind", "pauses"),
    [("submissions", True), ("reads", False)],
)
async def test_outage_pauses_submissions(kind: str, pauses: bool) -> None:  # noqa: FBT001  # a column
    """If the API cannot be reached, submissions pause; reads are polled again anyway."""
    lane: Lane = getattr(Account(), kind)
    began = await ask(lane, ConnectionFailedError("refused"))

    assert (await ask(lane) - began >= 1) is pauses


async def test_lanes_pause_apart() -> None:
    """A refused submission delays no read, and a refused read delays no submission."""
    one, other = Account(), Account()
    await refuse(one.submissions, 600)
    await refuse(other.reads, 600)

    assert max(await moments(5, one.reads)) < 0.5
    assert max(await moments(5, other.submissions)) < 0.5


async def test_slowed_lane_delays_no_other() -> None:
    """Submissions that queue at a reduced pace leave the account's pace to the reads."""
    account = Account()
    for _ in range(30):
        await refuse(account.submissions, 1)
    slow = asyncio.create_task(moments(20, account.submissions))
    await asyncio.sleep(3)

    reads = await moments(10, account.reads)

    assert max(reads) < 0.5
    assert max(await slow) > 30


async def test_lanes_share_one_pace() -> None:
    """Reads and submissions together keep the account's requests per minute."""
    account = Account()

    found = await asyncio.gather(
        moments(3, account.reads, limit=60), moments(3, account.submissions, limit=60)
    )

    assert sorted(found[0] + found[1]) == pytest.approx([0, 1, 2, 3, 4, 5], abs=0.5)


def sharing(slots: int) -> Account:
    """Return an account of which this process may use some slots, each for ten requests a minute."""
    account = Account()
    account.slots.share = Share({"lease": Block(slots, time.monotonic() + 86_400)})
    return account


async def test_share_paces_requests() -> None:
    """With one slot of the account, a process sends a request every six seconds, of all kinds together."""
    account = sharing(1)

    reads = await moments(2, account.reads, limit=600)
    submissions = await moments(1, account.submissions, limit=600)

    assert reads + submissions == pytest.approx([0, 6, 6], abs=0.5)


async def test_refusal_halves_the_pace_of_a_share() -> None:
    """A refusal halves the pace that the share permits, not the sender's, which is faster."""
    lane = sharing(10).reads
    await refuse(lane, 1, limit=600)
    await asyncio.sleep(2)

    sent = await moments(4, lane, limit=600)

    assert sent == pytest.approx([0, 1.2, 2.4, 3.6], abs=0.4)


async def test_cancelled_requests_of_a_share_take_no_time() -> None:
    """Requests that waited for a slow share, and were cancelled, do not delay the next one."""
    lane = sharing(1).reads
    await refuse(lane, 1, limit=600)
    await asyncio.sleep(10)
    await ask(lane, limit=600)
    cancelled = [asyncio.create_task(ask(lane, limit=600)) for _ in range(20)]
    await asyncio.sleep(1)
    for each in cancelled:
        each.cancel()
    began = now()

    assert await ask(lane, limit=600) - began < 8


async def test_probe_does_not_queue(lane: Lane) -> None:
    """A probe that a late refusal delays again is sent before the requests that wait for its answer."""
    await ask(lane, limit=1)
    late = asyncio.create_task(hold(lane, 20, RateLimitedError("", retry_after_seconds=90)))
    await asyncio.sleep(1)
    began = await refuse(lane, 1)
    probe = asyncio.create_task(ask(lane, limit=1))
    await asyncio.sleep(5)
    others = [asyncio.create_task(ask(lane)) for _ in range(3)]

    first = await asyncio.wait_for(probe, 600)
    rest = await asyncio.wait_for(asyncio.gather(*others), 600)

    assert first - began >= 19 + 90
    assert min(rest) >= first
    await asyncio.wait([late])
    assert isinstance(late.exception(), RateLimitedError)


async def test_threads_share_refusals() -> None:
    """A refusal in one thread's event loop holds the requests of another, until its probe succeeds."""
    account, sent = Account(), []

    async def refused() -> None:
        await refuse(account.reads, 0.3)
        await hold(account.reads, 0.3)
        sent.append(now())

    async def waiting() -> None:
        await asyncio.sleep(0.1)
        await asyncio.gather(*[ask(account.reads) for _ in range(3)])
        sent.append(now())

    began = now()
    await in_threads(refused, waiting)

    assert min(sent) - began >= 0.59


async def in_threads(*works: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run each coroutine in an event loop of a thread of its own."""
    await asyncio.gather(*[asyncio.to_thread(asyncio.run, work()) for work in works])
