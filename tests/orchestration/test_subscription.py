"""The subscription to events about ended generations."""

import asyncio
from uuid import uuid4

import pytest

from prefect_seedance.clips.records import Acceptance, Attempt
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.subscription import Subscription
from tests.flows.conftest import Api
from tests.orchestration.conftest import CLIP
from tests.records import FAILED, intent_of

_WAIT_SECONDS = 60.0


def attempt(generation_id: str) -> Attempt:
    """Return an attempt that has ended."""
    intent = intent_of(CLIP)
    accepted = Acceptance(generation_id=generation_id, accepted_at=intent.asked_at)
    return Attempt(intent=intent, acceptance=accepted, outcome=FAILED)


def test_reports_ended_generations(server: Api) -> None:
    """The id of each generation that ends is reported, and other events are not."""
    wanted = f"task_{uuid4()}"
    reported: list[str] = []

    async def run() -> None:
        ended = asyncio.Event()

        def on_ended(generation_id: str) -> None:
            reported.append(generation_id)
            if generation_id == wanted:
                ended.set()

        async with Subscription(on_ended) as subscription:
            subscription.start()
            async with asyncio.timeout(_WAIT_SECONDS):
                while not ended.is_set():  # events that come before the subscription is open may be missed
                    events.generation_submitted(attempt(f"other_{wanted}"))
                    events.generation_ended(attempt(wanted))
                    await asyncio.sleep(0.2)

    assert server
    asyncio.run(run())

    assert wanted in reported
    assert f"other_{wanted}" not in reported


@pytest.mark.usefixtures("no_server")
async def test_needs_no_server() -> None:
    """Without a server there is no subscription, and nothing to close."""
    async with Subscription(lambda _: None) as subscription:
        subscription.start()

        assert len(asyncio.all_tasks()) == 1


def test_unreachable_server_is_harmless(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is tried again, and the subscription ends when it is closed."""

    async def run() -> None:
        async with Subscription(lambda _: None) as subscription:
            subscription.start()
            await asyncio.sleep(0.5)

    assert server
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")

    asyncio.run(asyncio.wait_for(run(), _WAIT_SECONDS))
