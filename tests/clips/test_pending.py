import asyncio
import gc

import pytest

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.finality import Answer
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.pending import PendingGeneration
from prefect_seedance.clips.records import Outcome
from prefect_seedance.errors import NotFoundError
from prefect_seedance.storage.store import Store
from tests.status_api import accepted


async def pending(**changes: object) -> PendingGeneration:
    generation = PendingGeneration(
        attempt=accepted(),
        ledger=Ledger(Store.open("memory://pending")),
        expects_callback=False,
        next_read=0.0,
        ended=asyncio.get_running_loop().create_future(),
    )
    for name, value in changes.items():
        setattr(generation, name, value)
    return generation


GONE = NotFoundError("no", code=404)
PROCESSING = Generation(generation_id="task_1", state="processing")
LOST, OTHER = (Outcome.of_loss(resolved_by=name) for name in ("a person", "another"))


async def test_end_happens_once() -> None:
    """The first end counts, and one that comes after the deadline is ignored."""
    first, late = await pending(), await pending()
    late.ended.cancel()

    first.end(LOST)
    first.end(OTHER)
    first.fail(ValueError("too late"))
    late.end(LOST)
    late.fail(ValueError("too late"))

    assert await first.ended == LOST
    assert late.ended.cancelled()


async def test_unread_error_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody waits for any more is not logged as one that was never retrieved."""
    (await pending()).fail(ValueError("unread"))
    gc.collect()

    assert caplog.text == ""


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([], False, id="new"),
        pytest.param([GONE], True, id="odd"),
        pytest.param([GONE, PROCESSING], False, id="clarified"),
    ],
)
async def test_oddity_is_doubtful(answers: list[Answer], expected: bool) -> None:  # noqa: FBT001 -- a table's column
    """A generation is doubtful after an odd answer or an error, until another answer clarifies it."""
    generation = await pending()
    for answer in answers:
        generation.odd_answers.add(answer, sent=1, received=2)

    assert generation.is_doubtful is expected
    assert (await pending(errors=1)).is_doubtful


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "(not polled yet). The generation continues", id="new"),
        pytest.param({"state": "processing"}, "(processing). The generation continues", id="polled"),
        pytest.param({"errors": 2, "last_error": "503"}, "; the last poll failed: 503. The", id="failing"),
    ],
)
async def test_describes_its_state(changes: dict[str, object], expected: str) -> None:
    """The message names clip, generation, state and last error, and suggests no new purchase."""
    message = str(await pending(**changes))

    assert message.startswith("clip 1 is still in flight as generation task_1")
    assert expected in message
    assert message.endswith("run again to wait for it and archive it, without paying again")
