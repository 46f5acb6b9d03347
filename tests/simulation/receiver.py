"""The receiver of callbacks in a simulated process."""

import asyncio

from prefect_seedance.clips.records import Attempt
from prefect_seedance.production.session import Session
from prefect_seedance.receiver.hints import Hints
from prefect_seedance.receiver.recorder import OutcomeRecorder
from tests.simulation.api import Sold
from tests.simulation.runs import CALLBACK_SECRETS, Simulation

_FOLLOWING_SECONDS = 1000.0
"""How long the receiver lives after a callback."""


def call_back(simulation: Simulation, sold: Sold) -> None:
    """Deliver the callback of a generation that has ended."""
    token = str(sold.post.body["callback_url"]).rpartition("/")[2]
    ref = CALLBACK_SECRETS.verify(token)
    if ref is None:
        simulation.api.violations.append(f"a callback URL without a token: {token}")
        return

    async def receive(session: Session) -> None:
        attempt = await session.ledger.attempt(ref.fingerprint, ref.number)
        if attempt is None:
            return
        hints, is_recorded = Hints(session.store), asyncio.Event()
        await hints.record(ref, sold.generation_id)

        def note(_: Attempt) -> None:
            is_recorded.set()

        async with OutcomeRecorder(session.ledger, hints, client=session.client, on_outcome=note) as recorder:
            recorder.follow(attempt)
            try:
                async with asyncio.timeout(_FOLLOWING_SECONDS):
                    await is_recorded.wait()
            except TimeoutError:
                pass

    simulation.use(receive, name="receiver")
