import time

import pytest

from prefect_seedance.api.slots import Block, Share, Slots
from prefect_seedance.errors import DeadlineError
from prefect_seedance.production.slots import RunSlots
from tests.records import planned_clip

SHARES = {
    "no server": (
        Share(problem="connection refused"),
        "divides the account's slots, fails (connection refused). Run again when it answers",
    ),
    "no answer": (Share(), "divides the account's slots, has not answered. Run again when it answers"),
    "none free": (
        Share(is_known=True),
        "all slots of the account are taken, 0 of them by this process. Run again when some have ended",
    ),
    "no share": (None, "limit of concurrent generations is reached. Run again when some have ended"),
}


@pytest.mark.parametrize(("share", "text"), SHARES.values(), ids=SHARES)
async def test_deadline_names_the_cause(share: Share | None, text: str) -> None:
    """A clip that got no slot before the deadline says why, and when to run again."""
    slots = Slots()
    if not share:
        slots.take()
    slots.share = share
    run = RunSlots(slots=slots, limit=1, deadline=0.0, statuses={})

    with pytest.raises(DeadlineError) as caught:
        await run.take(planned_clip(1))

    assert str(caught.value).endswith(text)
    assert "was not submitted and cost nothing" in str(caught.value)


async def test_own_limit_is_the_cause() -> None:
    """If the run's own limit is reached within a larger share, the deadline names the limit."""
    slots = Slots()
    slots.share = Share({"lease": Block(5, time.monotonic() + 60)}, is_known=True)
    slots.take()
    run = RunSlots(slots=slots, limit=1, deadline=0.0, statuses={})

    with pytest.raises(DeadlineError, match="limit of concurrent generations is reached"):
        await run.take(planned_clip(1))
