import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefect_seedance.api.account import Limiter
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.poll import Poller, Polling
from prefect_seedance.clips.records import Acceptance, Attempt, Intent, Result
from prefect_seedance.errors import AuthenticationError, DeadlineError, FailKind, NotFoundError
from prefect_seedance.storage.store import Store

HOUR = 3600.0

Answer = Callable[[float], httpx.Response | Exception]
"""What the API says this many seconds after the generation was accepted."""


def status(state: str, **more: object) -> httpx.Response:
    return httpx.Response(200, json={"code": 200, "message": "", "data": {"state": state, **more}})


def success(urls: tuple[str, ...] = ("https://cdn/clip.mp4",), **more: object) -> httpx.Response:
    return status("success", resultJson=json.dumps({"resultUrls": urls}), **more)


def refusal(code: int) -> httpx.Response:
    return httpx.Response(code, json={"code": code, "message": "no", "data": None})


class Api(httpx.AsyncBaseTransport):
    """Answers status reads by the clock, and counts them by generation and moment."""

    def __init__(self, answer: Answer) -> None:
        self.looks: list[tuple[str, float]] = []
        self.under_way = self.most_under_way = 0
        self._answer = answer
        self._began = asyncio.get_running_loop().time()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time() - self._began
        self.looks.append((request.url.params["taskId"], now))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.05)
        self.under_way -= 1
        answer = self._answer(now)
        if isinstance(answer, Exception):
            raise answer
        return answer


def accepted(number: int = 1, *, age_seconds: float = 0, duration: int = 4) -> Attempt:
    now = datetime.now(UTC)
    asked = ClipInput(mode="text-to-video", prompt="drifting clouds", duration=duration)
    intent = Intent(
        fingerprint=f"{number:032}",
        number=1,
        name=f"clip {number}",
        production="lighthouse",
        model="seedance-1-5-pro",
        base_url="https://api.apixo.ai",
        request=GenerateRequest(input=asked),
        asked_by="somebody",
        asked_at=now,
        settles_by=now,
    )
    acceptance = Acceptance(generation_id=f"task_{number}", accepted_at=now - timedelta(seconds=age_seconds))
    return Attempt(intent=intent, acceptance=acceptance)


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    return Ledger(Store.open(f"memory://{request.node.nodeid}"))


@asynccontextmanager
async def waiter(
    api: Api, pace: Polling = Polling(), *, limiter: Limiter | None = None
) -> AsyncIterator[Poller]:
    async with (
        SeedanceClient("key", transport=api, limiter=limiter) as client,
        Poller(client, pace=pace) as waiter,
    ):
        yield waiter


def soon(seconds: float = HOUR) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_records_success(ledger: Ledger) -> None:
    """A generation that succeeds ends with its URLs and their expiry in the ledger."""
    completed = datetime(2026, 11, 1, tzinfo=UTC)
    api = Api(lambda _: success(completeTime=completed.timestamp() * 1000))

    async with waiter(api) as waiting:
        attempt = await waiting.wait(await _recorded(ledger), ledger=ledger, deadline=soon())

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
    """A generation that fails ends with its code, sorted by what may be done."""
    api = Api(lambda _: status("failed", failCode=code, failMsg="because"))

    async with waiter(api) as waiting:
        attempt = await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert (attempt.outcome.result, attempt.outcome.code, attempt.outcome.kind) == (Result.failed, code, kind)
    assert attempt.outcome.message == "because"


@pytest.mark.parametrize(("duration", "first"), [(4, 40), (8, 60), (12, 90)])
async def test_first_look_when_possible(ledger: Ledger, duration: int, first: int) -> None:
    """The first look comes when the first results can be there."""
    api = Api(lambda _: success())

    async with waiter(api) as waiting:
        await waiting.wait(accepted(duration=duration), ledger=ledger, deadline=soon())

    ((_, moment),) = api.looks
    assert first <= moment < first + 1


async def test_old_generation_is_looked_at_once(ledger: Ledger) -> None:
    """What was accepted by an earlier run need not wait again."""
    api = Api(lambda _: success())

    async with waiter(api) as waiting:
        await waiting.wait(accepted(age_seconds=300), ledger=ledger, deadline=soon())

    assert api.looks[0][1] < 1


async def test_learns_how_long_it_takes(ledger: Ledger) -> None:
    """After a generation that took 12 s the next one is looked at after 12 s."""
    api = Api(lambda now: success(costTime=12_000) if now > 40 else status("processing"))

    async with waiter(api) as waiting:
        await waiting.wait(accepted(1), ledger=ledger, deadline=soon())
        before = api.looks[-1][1]
        await waiting.wait(accepted(2), ledger=ledger, deadline=soon())

    assert 12 <= api.looks[-1][1] - before < 13


async def test_looks_often_while_few(ledger: Ledger) -> None:
    """A single generation is looked at every two seconds."""
    api = Api(lambda now: success() if now > 60 else status("processing"))

    async with waiter(api) as waiting:
        await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    moments = [moment for _, moment in api.looks]
    assert all(1.9 < later - sooner < 2.3 for sooner, later in itertools.pairwise(moments))


async def test_crowd_stays_within_budget(ledger: Ledger) -> None:
    """A crowd of generations takes half of the account's requests, over at most 16 connections."""
    api = Api(lambda now: success() if now > 100 else status("processing"))

    async with waiter(api, limiter=Limiter(600)) as waiting:
        await asyncio.gather(
            *[waiting.wait(accepted(number), ledger=ledger, deadline=soon()) for number in range(100)]
        )

    minutes = Counter(int(moment // 60) for _, moment in api.looks)
    assert max(minutes.values()) <= 330
    assert api.most_under_way <= 16
    assert len({generation for generation, _ in api.looks}) == 100


TROUBLES = [
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


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_outage_is_outlasted(ledger: Ledger, trouble: httpx.Response | Exception) -> None:
    """Ten minutes of trouble do not fail a generation that is healthy."""
    api = Api(lambda now: success() if now > 600 else trouble)

    async with waiter(api) as waiting:
        attempt = await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.success
    assert api.looks[-1][1] < 600 + 65  # a pause of the limiter, or of the waiter


SETTLING = [
    pytest.param(refusal(404), id="404"),
    pytest.param(success(()), id="no URLs"),
    pytest.param(status("success", resultJson="{"), id="broken resultJson"),
    pytest.param(status("success"), id="no resultJson"),
]


@pytest.mark.parametrize("answer", SETTLING)
async def test_unsettled_answer_is_waited_out(ledger: Ledger, answer: httpx.Response) -> None:
    """What a new generation may show for a moment is not believed at once."""
    api = Api(lambda now: success() if now > 60 else answer)

    async with waiter(api) as waiting:
        attempt = await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.success


async def test_success_without_result_keeps_answer(ledger: Ledger) -> None:
    """If the API goes on calling it a success without a URL, the raw answer is kept with the failure."""
    api = Api(lambda _: status("success", resultJson="{", note="hidden here"))

    async with waiter(api) as waiting:
        attempt = await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    assert attempt.outcome
    assert attempt.outcome.result is Result.failed
    assert attempt.outcome.generation
    assert attempt.outcome.generation.answer["note"] == "hidden here"


@pytest.mark.parametrize(("code", "error"), [(404, NotFoundError), (401, AuthenticationError)])
async def test_refusal_to_tell_decides_nothing(ledger: Ledger, code: int, error: type[Exception]) -> None:
    """If the API will not tell, waiting ends with its error, and the generation stays undecided."""
    api = Api(lambda _: refusal(code))
    attempt = await _recorded(ledger)

    async with waiter(api) as waiting:
        with pytest.raises(error):
            await waiting.wait(attempt, ledger=ledger, deadline=soon())

    (after,) = await ledger.attempts(attempt.intent.fingerprint)
    assert after.outcome is None


async def _recorded(ledger: Ledger) -> Attempt:
    claimed = await ledger.claim(accepted().intent)
    assert claimed
    return await ledger.accept(claimed, "task_1")


async def test_deadline_tells_how_to_continue(ledger: Ledger) -> None:
    """Reaching the deadline names the generation and its last state, and invites no second purchase."""
    api = Api(lambda _: status("dreaming"))

    async with waiter(api) as waiting:
        with pytest.raises(DeadlineError, match=r"task_1 \(dreaming\).*paid for once: run the same again"):
            await waiting.wait(accepted(), ledger=ledger, deadline=soon(300))


async def test_state_going_back_is_told(ledger: Ledger) -> None:
    """Every new state is told once, even if it is an old one again."""
    states = iter(["pending", "processing", "processing", "pending", "processing"])
    api = Api(lambda _: status(state) if (state := next(states, "")) else success())
    told: list[str] = []

    async with waiter(api) as waiting:
        waiting.listeners.add(lambda _, generation: told.append(generation.state))
        await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    assert told == ["pending", "processing", "pending", "processing", "success"]


async def test_given_pace_is_kept(ledger: Ledger) -> None:
    """A pace of one's own moves the first look and the distance of looks."""
    api = Api(lambda now: success() if now > 10 else status("processing"))

    async with waiter(api, Polling(first_seconds=1, every_seconds=5)) as waiting:
        await waiting.wait(accepted(), ledger=ledger, deadline=soon())

    assert [round(moment) for _, moment in api.looks] == [1, 6, 11]


async def test_ended_attempt_needs_no_look(ledger: Ledger) -> None:
    """An attempt whose outcome is known is returned as it is."""
    api = Api(lambda _: success())

    async with waiter(api) as waiting:
        once = await waiting.wait(accepted(), ledger=ledger, deadline=soon())
        again = await waiting.wait(once, ledger=ledger, deadline=soon())

    assert again == once
    assert len(api.looks) == 1


async def test_glance_reads_once(ledger: Ledger) -> None:
    """Who does not wait reads the status of what may have ended once, and records its end."""
    api = Api(lambda _: success())

    async with waiter(api) as waiting:
        young = await waiting.poll_once(accepted(1, age_seconds=30), ledger=ledger)
        old = await waiting.poll_once(accepted(2, age_seconds=50), ledger=ledger)
        again = await waiting.poll_once(accepted(2, age_seconds=50), ledger=ledger)

    assert young.outcome is None
    assert old.outcome
    assert again.outcome == old.outcome
    assert [generation for generation, _ in api.looks] == ["task_2"]


@pytest.mark.parametrize(
    ("answer", "age"),
    [
        pytest.param(status("processing"), 300, id="goes on"),
        pytest.param(refusal(503), 300, id="server trouble"),
        pytest.param(refusal(404), 50, id="not visible yet"),
        pytest.param(success(urls=()), 50, id="no result yet"),
    ],
)
async def test_glance_decides_nothing_early(ledger: Ledger, answer: httpx.Response, age: float) -> None:
    """What has not ended for sure is left as it is."""
    async with waiter(Api(lambda _: answer)) as waiting:
        attempt = await waiting.poll_once(accepted(age_seconds=age), ledger=ledger)

    assert attempt.outcome is None
