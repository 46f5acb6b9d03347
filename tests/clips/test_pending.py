import asyncio

import pytest

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.pending import PendingGeneration, is_final
from prefect_seedance.storage.store import Store
from tests.status_api import accepted


async def pending(**changes: object) -> PendingGeneration:
    generation = PendingGeneration(
        attempt=accepted(),
        ledger=Ledger(Store.open("memory://pending")),
        awaits_callback=False,
        began=0.0,
        quiet_since=0.0,
        ended=asyncio.get_running_loop().create_future(),
    )
    for name, value in changes.items():
        setattr(generation, name, value)
    return generation


def generation(state: str, *urls: str) -> Generation:
    return Generation(generation_id="task_1", state=state, result_urls=urls)


async def test_end_happens_once() -> None:
    """The first end counts, and one that comes after the deadline is ignored."""
    first, late = await pending(), await pending()
    late.ended.cancel()

    first.end(generation("failed"))
    first.end(generation("success", "https://cdn/clip.mp4"))
    late.end(generation("failed"))

    assert (await first.ended) == generation("failed")
    assert late.ended.cancelled()


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


@pytest.mark.parametrize(
    ("status", "is_settling", "expected"),
    [
        pytest.param(generation("processing"), False, False, id="processing"),
        pytest.param(generation("failed"), True, True, id="failed"),
        pytest.param(generation("success", "https://cdn/clip.mp4"), True, True, id="success"),
        pytest.param(generation("success"), True, False, id="no URL yet"),
        pytest.param(generation("success"), False, True, id="no URL for good"),
    ],
)
def test_success_needs_url_or_time(status: Generation, is_settling: bool, expected: bool) -> None:  # noqa: FBT001 -- a table's columns
    """Only a success without a URL has to settle before it is final."""
    assert is_final(status, is_settling=is_settling) is expected
