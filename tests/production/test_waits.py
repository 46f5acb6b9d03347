import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.slots import Share
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.poll import Poller
from prefect_seedance.errors import DeadlineError, NoAnswerError, SeedanceError
from prefect_seedance.production import waits
from prefect_seedance.production.slots import RunSlots
from prefect_seedance.production.waits import Waits, log_wait
from tests.records import planned_clip

REQUEST = GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(waits, "_OVER_AFTER_SECONDS", 0.05)


class Api(httpx.AsyncBaseTransport):
    """Answers every request in the same way."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self.answer = answer

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        return self.answer()


def _refused() -> httpx.Response:
    raise httpx.ConnectError("refused")


def _limited() -> httpx.Response:
    return httpx.Response(429, json={"code": 429, "message": "slow down"})


@dataclass
class Watched:
    """A watch, and the texts that it reported."""

    client: SeedanceClient
    poller: Poller
    waits: Waits
    said: list[str] = field(default_factory=list)

    async def until(self, count: int) -> list[str]:
        """Wait until so many texts were reported, and return them without their ends."""
        async with asyncio.timeout(10):
            while len(self.said) < count:
                await asyncio.sleep(0.01)
        return [text.partition("; trying until ")[0] for text in self.said]


@asynccontextmanager
async def watched(api: Api, *, limit: int = 1) -> AsyncIterator[Watched]:
    now = asyncio.get_running_loop().time()
    async with SeedanceClient("key", transport=api, timeout_seconds=0.1) as client, Poller(client) as poller:
        slots = RunSlots(slots=client.account.slots, limit=limit, deadline=now + 0.3, statuses={})
        said: list[str] = []
        watch = Waits(client=client, poller=poller, slots=slots, deadline=now + 60, on_wait=said.append)
        async with watch.watched():
            yield Watched(client, poller, watch, said)


async def submit(client: SeedanceClient) -> None:
    with suppress(SeedanceError, TimeoutError):
        async with asyncio.timeout(1), client.admission():
            await client.submit(REQUEST)


def broken(_: str) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(_refused, "cannot reach api.apixo.ai: refused"), (_limited, "The API answered 429: slow down")],
    ids=["unreachable", "429"],
)
async def test_names_what_delays_submissions(answer: Callable[[], httpx.Response], said: str) -> None:
    """While clips are submitted, a dead API and its limits are reported once, with the end of the wait."""
    async with watched(Api(answer)) as setup:
        setup.waits.statuses["a"] = ClipStatus.submitting
        await submit(setup.client)
        await submit(setup.client)

        assert await setup.until(1) == [said]
        assert setup.said[0].startswith(f"{said}; trying until ")


async def test_reports_other_causes_and_the_end() -> None:
    """Each change of cause is reported once, and an empty text when the run goes on."""
    async with watched(Api(_refused)) as setup:
        setup.waits.statuses["a"] = ClipStatus.in_flight
        setup.poller.failure = NoAnswerError("GET https://api.apixo.ai/x: ReadTimeout")
        await setup.until(1)
        setup.poller.failure = NoAnswerError("GET https://api.apixo.ai/y: ReadError: reset")
        await asyncio.sleep(0.1)
        setup.poller.failure = None

        assert await setup.until(2) == ["no answer from api.apixo.ai: ReadTimeout", ""]


async def test_healthy_runs_report_nothing() -> None:
    """A refusal that delays no clip is not reported."""
    async with watched(Api(_refused)) as setup:
        setup.waits.statuses["a"] = ClipStatus.archiving
        await submit(setup.client)
        await asyncio.sleep(0.1)

        assert setup.said == []


async def test_flapping_cause_is_one_wait() -> None:
    """A refusal that comes and goes is one wait, even if clips wait for slots meanwhile."""
    async with watched(Api(_limited)) as setup:
        await setup.waits.slots.take(planned_clip(1))
        setup.waits.slots.deadline = asyncio.get_running_loop().time() + 60
        waiting = asyncio.create_task(setup.waits.slots.take(planned_clip(2)))
        setup.waits.statuses["a"] = ClipStatus.in_flight
        await setup.until(1)
        for _ in range(5):
            setup.poller.failure = NoAnswerError("GET https://api.apixo.ai/x: ReadTimeout")
            await asyncio.sleep(0.02)
            setup.poller.failure = None
            await asyncio.sleep(0.02)

        slots = "1 clip waits, because 1 generations may be in flight at a time"
        assert await setup.until(4) == [slots, "no answer from api.apixo.ai: ReadTimeout", "", slots]
        waiting.cancel()


async def test_end_of_a_run_ends_its_wait() -> None:
    """A cause that was gone just before the run ended is over."""
    async with watched(Api(_refused)) as setup:
        setup.waits.statuses["a"] = ClipStatus.in_flight
        setup.poller.failure = NoAnswerError("GET https://api.apixo.ai/x: ReadTimeout")
        await setup.until(1)
        setup.poller.failure = None

    assert len(setup.said) == 2
    assert setup.said[-1] == ""


async def test_lasting_cause_has_no_end() -> None:
    """A cause that lasts until the run ends is not over."""
    async with watched(Api(_refused)) as setup:
        setup.waits.statuses["a"] = ClipStatus.in_flight
        setup.poller.failure = NoAnswerError("GET https://api.apixo.ai/x: ReadTimeout")
        await setup.until(1)

    assert len(setup.said) == 1


@pytest.mark.parametrize(
    ("text", "level"), [("cannot reach it", logging.WARNING), ("", logging.INFO)], ids=["begin", "end"]
)
def test_begin_and_end_are_logged(text: str, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """A cause is a warning, and its end is not."""
    with caplog.at_level(logging.INFO):
        log_wait(text)

    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (text or "The run continues: what it waited for is over")


async def test_names_missing_slots() -> None:
    """A clip that waits for one of the account's slots is reported with the limit."""
    async with watched(Api(_limited)) as setup:
        await setup.waits.slots.take(planned_clip(1))
        with pytest.raises(DeadlineError):
            await setup.waits.slots.take(planned_clip(2))

        assert (await setup.until(1))[0] == "1 clip waits, because 1 generations may be in flight at a time"


async def test_faulty_listener_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in the callback is logged."""
    async with watched(Api(_refused)) as setup:
        setup.waits.on_wait = broken
        setup.waits.statuses["a"] = ClipStatus.submitting
        await submit(setup.client)
        await asyncio.sleep(0.1)

    assert "the run continues" in caplog.text


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (
            Share(is_known=True),
            "1 clip waits, because all slots of the account are taken, 0 of them by this process",
        ),
        (
            Share(problem="refused"),
            "1 clip waits, because the Prefect server, which divides the account's slots, fails (refused)",
        ),
    ],
    ids=["others", "silent server"],
)
async def test_names_why_a_share_is_full(share: Share, said: str) -> None:
    """A clip that waits for a slot of an account that processes divide has one of two reasons."""
    async with watched(Api(_refused)) as setup:
        setup.client.account.slots.share = share
        setup.waits.slots.deadline += 60
        taking = asyncio.create_task(setup.waits.slots.take(planned_clip(3)))
        try:
            assert await setup.until(1) == [said]
        finally:
            taking.cancel()
            setup.client.account.slots.share = None
