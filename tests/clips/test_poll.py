import asyncio
import itertools
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefect_seedance.api.slots import Block, Share
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import NO_RESULT, Attempt, Result
from prefect_seedance.errors import (
    AuthenticationError,
    DeadlineError,
    FailKind,
    NoAnswerError,
    NotFoundError,
    SeedanceError,
)
from prefect_seedance.options import Waiting
from prefect_seedance.storage.store import Store
from tests.status_api import HOUR, Api, accepted, polling, refusal, soon, status, success


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    return Ledger(Store.open(f"memory://{request.node.nodeid}"))


async def test_records_success(ledger: Ledger) -> None:
    """The outcome of a success, with its URLs and their expiry, is in the ledger."""
    completed = datetime(2026, 11, 1, tzinfo=UTC)
    api = Api(lambda _: success(completeTime=completed.timestamp() * 1000))

    async with polling(api) as poller:
        attempt = await poller.wait(await _recorded(ledger), ledger=ledger, deadline=soon())

    assert await ledger.attempts(attempt.intent.fingerprint) == (attempt,)
    assert attempt.outcome
    assert attempt.outcome.result is Result.success
    assert attempt.outcome.result_urls == ("https://cdn/clip.mp4",)
    assert attempt.outcome.expires_at == completed + timedelta(days=15)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("CONTENT_VIOLATION", FailKind.content),
        ("GENERATION_FAILED", FailKind.transient),
        ("X", FailKind.unknown),
    ],
)
async def test_records_failure(ledger: Ledger, code: str, kind: FailKind) -> None:
    """The outcome of a failure has the API's code and the kind of failure."""
    api = Api(lambda _: status("failed", failCode=code, failMsg="because"))

    async with polling(api) as poller:
        attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert (attempt.outcome.result, attempt.outcome.code, attempt.outcome.kind) == (Result.failed, code, kind)
    assert attempt.outcome.message == "because"


@pytest.mark.parametrize(("duration", "first"), [(4, 40), (8, 60), (12, 90)])
async def test_first_poll_when_possible(ledger: Ledger, duration: int, first: int) -> None:
    """The first poll comes when the fastest generation can have ended."""
    api = Api(lambda _: success())

    async with polling(api) as poller:
        await poller.wait(accepted(duration=duration), ledger=ledger, deadline=soon())

    ((_, moment),) = api.polls
    assert first <= moment < first + 1


async def test_polls_old_generation_immediately(ledger: Ledger) -> None:
    """A generation that an earlier run submitted is polled immediately."""
    api = Api(lambda _: success())

    async with polling(api) as poller:
        await poller.wait(accepted(age_seconds=300), ledger=ledger, deadline=soon())

    assert api.polls[0][1] < 1


async def test_learns_generation_time(ledger: Ledger) -> None:
    """After a generation that took 12 s, the next one is polled after 12 s."""
    api = Api(lambda now: success(costTime=12_000) if now > 40 else status("processing"))

    async with polling(api) as poller:
        await poller.wait(accepted(1), ledger=ledger, deadline=soon())
        before = api.polls[-1][1]
        await poller.wait(accepted(2), ledger=ledger, deadline=soon())

    assert 12 <= api.polls[-1][1] - before < 13


async def test_first_poll_after_shortest_time(ledger: Ledger) -> None:
    """The fastest generation sets the time of the first poll, not the latest one."""
    took = iter([12_000, 30_000, 30_000])
    api = Api(lambda _: success(costTime=next(took)))

    async with polling(api) as poller:
        for number in (1, 2):
            await poller.wait(accepted(number, age_seconds=300), ledger=ledger, deadline=soon())
        before = api.polls[-1][1]
        await poller.wait(accepted(3), ledger=ledger, deadline=soon())

    assert 12 <= api.polls[-1][1] - before < 13


async def test_polls_often_while_few(ledger: Ledger) -> None:
    """A single generation is polled every one and a half seconds."""
    api = Api(lambda now: success() if now > 60 else status("processing"))

    async with polling(api) as poller:
        await poller.wait(accepted(), ledger=ledger, deadline=soon())

    moments = [moment for _, moment in api.polls]
    assert all(1.4 < later - sooner < 1.8 for sooner, later in itertools.pairwise(moments))


async def test_young_ones_delay_no_poll(ledger: Ledger) -> None:
    """Generations that cannot have ended yet do not make the polls of the others rare."""
    api = Api(lambda now: success() if now > 30 else status("processing"))

    async with polling(api, requests_per_minute=600) as poller:
        young = [
            asyncio.create_task(poller.wait(accepted(number), ledger=ledger, deadline=soon()))
            for number in range(2, 100)
        ]
        await poller.wait(accepted(1, age_seconds=40), ledger=ledger, deadline=soon())
        moments = [moment for _, moment in api.polls]
        await asyncio.gather(*young)

    assert all(1.4 < later - sooner < 1.8 for sooner, later in itertools.pairwise(moments))


async def test_many_stay_within_budget(ledger: Ledger) -> None:
    """Many generations use three quarters of the account's requests, with at most 16 polls at once."""
    api = Api(lambda now: success() if now > 100 else status("processing"))

    async with polling(api, requests_per_minute=600) as poller:
        await asyncio.gather(
            *[poller.wait(accepted(number), ledger=ledger, deadline=soon()) for number in range(100)]
        )

    minutes = Counter(int(moment // 60) for _, moment in api.polls)
    assert max(minutes.values()) <= 470
    assert api.most_under_way <= 16
    assert len({generation for generation, _ in api.polls}) == 100


async def test_polls_leave_room_in_a_share(ledger: Ledger) -> None:
    """Polls use three quarters of the requests that the process's slots permit."""
    api = Api(lambda now: success() if now > 400 else status("processing"))

    async with polling(api) as poller:
        client = poller._client
        client.account.slots.share = Share({"lease": Block(10, time.monotonic() + 86_400)})
        await asyncio.gather(
            *[poller.wait(accepted(number), ledger=ledger, deadline=soon()) for number in range(50)]
        )

    minutes = Counter(int(moment // 60) for _, moment in api.polls)
    assert sum(minutes[number] for number in (2, 3, 4, 5)) <= 4 * 78  # waves: more and less in turns


ERRORS = [
    pytest.param(refusal(429), id="429"),
    pytest.param(refusal(500), id="500"),
    pytest.param(refusal(503), id="503"),
    pytest.param(httpx.ConnectError("refused"), id="refused"),
    pytest.param(httpx.ReadTimeout(""), id="read timeout"),
    pytest.param(httpx.RemoteProtocolError("closed"), id="closed"),
    pytest.param(httpx.Response(200, text="<html>"), id="garbage"),
    pytest.param(httpx.Response(200, json={"code": 200, "data": None}), id="no data"),
    pytest.param(httpx.Response(200, json={"code": 500, "data": None}), id="500 inside 200"),
    pytest.param(status("dreaming"), id="unknown state"),
]


@pytest.mark.parametrize("error", ERRORS)
async def test_survives_outage(ledger: Ledger, error: httpx.Response | Exception) -> None:
    """Ten minutes of errors do not fail a generation that succeeds."""
    api = Api(lambda now: success() if now > 600 else error)

    async with polling(api) as poller:
        attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.success
    assert api.polls[-1][1] < 600 + 65  # a pause of the account, or of the poller


SETTLING = [
    pytest.param(refusal(404), id="404"),
    pytest.param(success(()), id="no URLs"),
    pytest.param(status("success", resultJson="{"), id="broken resultJson"),
    pytest.param(status("success"), id="no resultJson"),
]


@pytest.mark.parametrize("answer", SETTLING)
async def test_waits_for_settled_answer(ledger: Ledger, answer: httpx.Response) -> None:
    """An answer that a new generation may give for a moment is not final at once."""
    api = Api(lambda now: success() if now > 60 else answer)

    async with polling(api) as poller:
        attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.success


@pytest.mark.parametrize("duration", [4, 8, 12])
@pytest.mark.parametrize("answer", SETTLING)
async def test_late_oddity_is_not_final(ledger: Ledger, answer: httpx.Response, duration: int) -> None:
    """An odd answer has time to settle whenever it comes, however long the generation took until then."""
    api = Api(lambda now: status("processing") if now < 130 else answer if now < 170 else success())

    async with polling(api) as poller:
        attempt = await poller.wait(accepted(duration=duration), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.success


@pytest.mark.parametrize("answer", SETTLING)
@pytest.mark.parametrize("other", [status("processing"), refusal(503), status("dreaming")])
async def test_other_answer_restarts_settling(
    ledger: Ledger, answer: httpx.Response, other: httpx.Response
) -> None:
    """Two odd answers with another one between them do not confirm each other."""
    api = Api(lambda now: success() if now > 190 else other if 90 < now < 140 else answer)

    async with polling(api) as poller:
        attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.success


@pytest.mark.parametrize("answer", SETTLING)
@pytest.mark.parametrize("settling_seconds", [0.001, 10, 200])
async def test_repeated_oddity_is_final(
    ledger: Ledger, answer: httpx.Response, settling_seconds: float
) -> None:
    """An odd answer is final once it has been the same for the settling time, in at least two reads."""
    api = Api(lambda now: status("processing") if now < 100 else answer)
    ended: SeedanceError | str | None

    async with polling(api, Waiting(settling_seconds=settling_seconds)) as poller:
        try:
            attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())
            ended = attempt.outcome.code if attempt.outcome else None
        except SeedanceError as error:
            ended = error

    odd = [moment for _, moment in api.polls if moment >= 100]
    assert ended == NO_RESULT or isinstance(ended, NotFoundError)
    assert len(odd) >= 2
    assert settling_seconds <= odd[-1] - odd[0] < settling_seconds + 35


async def test_success_without_result_keeps_answer(ledger: Ledger) -> None:
    """A success that stays without a URL is a failure, and the raw answer is kept."""
    api = Api(lambda _: status("success", resultJson="{", note="hidden here"))

    async with polling(api) as poller:
        attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.failed
    assert attempt.outcome.generation
    assert attempt.outcome.generation.answer["note"] == "hidden here"


@pytest.mark.parametrize(("code", "error"), [(404, NotFoundError), (401, AuthenticationError)])
async def test_refusal_records_nothing(ledger: Ledger, code: int, error: type[Exception]) -> None:
    """If the API refuses to answer, waiting ends with its error, and no outcome is recorded."""
    api = Api(lambda _: refusal(code))
    attempt = await _recorded(ledger)

    async with polling(api) as poller:
        with pytest.raises(error):
            await poller.wait(attempt, ledger=ledger, deadline=soon())

    (after,) = await ledger.attempts(attempt.intent.fingerprint)
    assert after.outcome is None


async def _recorded(ledger: Ledger) -> Attempt:
    claimed = await ledger.claim(accepted().intent)
    assert claimed
    return await ledger.accept(claimed, "task_1")


async def test_deadline_says_how_to_continue(ledger: Ledger) -> None:
    """At the deadline the error names the generation and its last state, and suggests no new purchase."""
    api = Api(lambda _: status("dreaming"))

    async with polling(api) as poller:
        with pytest.raises(DeadlineError, match=r"task_1 \(dreaming\).*paid for once: run again"):
            await poller.wait(accepted(), ledger=ledger, deadline=soon(300))


async def test_notifies_every_new_state(ledger: Ledger) -> None:
    """Listeners are called once per change of state, also for an earlier state."""
    states = iter(["pending", "processing", "processing", "pending", "processing"])
    api = Api(lambda _: status(state) if (state := next(states, "")) else success())
    states_seen: list[str] = []

    async with polling(api) as poller:
        poller.listeners.add(lambda _, generation: states_seen.append(generation.state))
        await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert states_seen == ["pending", "processing", "pending", "processing", "success"]


async def test_respects_options(ledger: Ledger) -> None:
    """The options set the time of the first poll and the time between two."""
    api = Api(lambda now: success() if now > 10 else status("processing"))

    async with polling(api, Waiting(first_poll_seconds=1, poll_every_seconds=5)) as poller:
        await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert [round(moment) for _, moment in api.polls] == [1, 6, 11]


async def test_ended_attempt_needs_no_poll(ledger: Ledger) -> None:
    """An attempt with an outcome is returned without a poll."""
    api = Api(lambda _: success())

    async with polling(api) as poller:
        once = await poller.wait(accepted(), ledger=ledger, deadline=soon())
        again = await poller.wait(once, ledger=ledger, deadline=soon())

    assert again == once
    assert len(api.polls) == 1


async def test_poll_once_reads_once(ledger: Ledger) -> None:
    """A generation that may have ended is read once, and its outcome recorded."""
    api = Api(lambda _: success())

    async with polling(api) as poller:
        young = await poller.poll_once(accepted(1, age_seconds=30), ledger=ledger, deadline=soon())
        old = await poller.poll_once(accepted(2, age_seconds=50), ledger=ledger, deadline=soon())
        again = await poller.poll_once(accepted(2, age_seconds=50), ledger=ledger, deadline=soon())

    assert young.outcome is None
    assert old.outcome
    assert again.outcome == old.outcome
    assert [generation for generation, _ in api.polls] == ["task_2"]


async def test_poll_once_ends_at_deadline(ledger: Ledger) -> None:
    """A pause that the API demands does not hold a run that does not wait beyond its deadline."""
    busy = httpx.Response(
        429, headers={"retry-after": "600"}, json={"code": 429, "message": "", "data": None}
    )
    api = Api(lambda _: busy)

    async with polling(api) as poller:
        await poller.poll_once(accepted(1, age_seconds=50), ledger=ledger, deadline=soon())
        began = asyncio.get_running_loop().time()
        attempt = await poller.poll_once(accepted(2, age_seconds=50), ledger=ledger, deadline=soon(20))
        lasted = asyncio.get_running_loop().time() - began

    assert attempt.outcome is None
    assert len(api.polls) == 1
    assert lasted == pytest.approx(20, abs=1)


@pytest.mark.parametrize("age", [50, 90, 200, 24 * HOUR])
@pytest.mark.parametrize("answer", [status("processing"), refusal(503), *SETTLING])
async def test_poll_once_concludes_nothing_odd(ledger: Ledger, answer: httpx.Response, age: float) -> None:
    """A generation that may not have ended is in flight after one read, however old it is."""
    api = Api(lambda _: answer)

    async with polling(api) as poller:
        attempt = await poller.poll_once(accepted(age_seconds=age), ledger=ledger, deadline=soon())

    assert attempt.outcome is None
    assert len(api.polls) == 1


@pytest.mark.parametrize(
    ("completed", "expected"),
    [
        pytest.param(-61, NO_RESULT, id="settled"),
        pytest.param(-30, None, id="a moment ago"),
        pytest.param(HOUR, None, id="in the future"),
        pytest.param(-3 * HOUR, None, id="before the submission"),
    ],
)
async def test_completion_time_settles(ledger: Ledger, completed: float, expected: str | None) -> None:
    """One read is final if the API finished the generation before the settling time."""
    then = datetime.now(UTC) + timedelta(seconds=completed)
    api = Api(lambda _: success((), completeTime=then.timestamp() * 1000))

    async with polling(api) as poller:
        attempt = await poller.poll_once(accepted(age_seconds=2 * HOUR), ledger=ledger, deadline=soon())

    assert (attempt.outcome.code if attempt.outcome else None) == expected


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("answer", SETTLING)
async def test_lifetime_ends_oddity(ledger: Ledger, answer: httpx.Response, waits: bool) -> None:  # noqa: FBT001 -- a table's column
    """Once a video would have expired, an odd answer is recorded, so that no clip is in flight for ever."""
    old = accepted(age_seconds=15 * 24 * HOUR + 60)

    async with polling(Api(lambda _: answer)) as poller:
        if waits:
            attempt = await poller.wait(old, ledger=ledger, deadline=soon())
        else:
            attempt = await poller.poll_once(old, ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert (attempt.outcome.result, attempt.outcome.code) == (Result.failed, NO_RESULT)
    assert "may have billed" in (attempt.outcome.message or "")


async def test_clock_ahead_delays_nothing(ledger: Ledger) -> None:
    """A generation accepted by a clock that is ahead is polled like a new one, and by `poll_once` at once."""
    api = Api(lambda _: success())

    async with polling(api) as poller:
        await poller.wait(accepted(1, age_seconds=-3 * HOUR), ledger=ledger, deadline=soon())
        once = await poller.poll_once(accepted(2, age_seconds=-3 * HOUR), ledger=ledger, deadline=soon())

    assert 40 <= api.polls[0][1] < 41
    assert once.outcome


async def test_broken_listener_is_skipped(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """A listener that raises is logged, and affects neither the wait nor other listeners."""
    states: list[str] = []

    def leave(*_: object) -> None:
        poller.listeners.discard(leave)

    def fail(*_: object) -> None:
        raise OSError("broken pipe")

    async with polling(Api(lambda _: success())) as poller:
        poller.listeners |= {leave, fail, lambda _, generation: states.append(generation.state)}
        attempt = await poller.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert states == ["success"]
    assert "broken pipe" in caplog.text


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        pytest.param(ValueError("a bug"), ValueError, id="exception"),
        pytest.param(asyncio.CancelledError(), NoAnswerError, id="cancellation"),
    ],
)
async def test_unexpected_error_ends_one_wait(
    ledger: Ledger, error: BaseException, raised: type[Exception]
) -> None:
    """An unexpected error ends the wait that it belongs to; the poller serves all others."""
    errors = [error] * 50
    api = Api(lambda _: errors.pop() if errors else success())

    async with polling(api) as poller:
        waits = [poller.wait(accepted(number), ledger=ledger, deadline=soon()) for number in range(50)]
        failed = await asyncio.gather(*waits, return_exceptions=True)
        attempt = await poller.wait(accepted(50), ledger=ledger, deadline=soon())

    assert {type(each) for each in failed} == {raised}
    assert attempt.outcome


async def test_closing_ends_waits(ledger: Ledger) -> None:
    """When the poller closes, its waits end with the remedy instead of lasting until their deadline."""
    async with polling(Api(lambda _: status("processing"))) as poller:
        waiting = asyncio.create_task(poller.wait(accepted(), ledger=ledger, deadline=soon()))
        await asyncio.sleep(100)

    for wait in (waiting, poller.wait(accepted(), ledger=ledger, deadline=soon())):
        with pytest.raises(DeadlineError, match="run again to wait for it"):
            async with asyncio.timeout(10):
                await wait


async def test_reads_never_overlap(ledger: Ledger) -> None:
    """A generation whose end is reported while its status is read is read again, but not at once."""
    api = Api(lambda now: success() if now > 30 else status("processing"), seconds=5)
    options = Waiting(first_poll_seconds=1, poll_every_seconds=600)

    async with polling(api, options) as poller:
        waiting = asyncio.create_task(poller.wait(accepted(), ledger=ledger, deadline=soon()))
        while not waiting.done():
            poller.wake("task_1")
            await asyncio.sleep(0.5)

    assert api.most_under_way == 1
    assert [round(later - sooner) for (_, sooner), (_, later) in itertools.pairwise(api.polls)] == [6] * 5
