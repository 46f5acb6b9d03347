import asyncio
import itertools
from datetime import timedelta

import pytest

from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.storage.store import Store
from tests.receiving import SUBMITTED_AT, StatusApi, receiving, succeeding


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


async def test_callback_leads_to_outcome(store: Store) -> None:
    """A callback is stored and gets 200; the outcome is read from the API, recorded and reported."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(accepted_as="task_1")

        assert await setup.call(path) == 200
        attempt = await setup.attempt()

    assert attempt.outcome
    assert attempt.outcome.result_urls == ("https://cdn/clip.mp4",)
    assert setup.reported == [attempt]
    assert len(setup.api.reads) == 1


async def test_ignores_other_id_in_body(store: Store) -> None:
    """If the ledger has the generation's id, the id and the results in a body are ignored."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(accepted_as="task_1")

        await setup.call(path, "forged_task")
        attempt = await setup.attempt()

    assert [read for read, _ in setup.api.reads] == ["task_1"]
    assert attempt.generation_id == "task_1"


async def test_repeated_callbacks_cost_nothing(store: Store) -> None:
    """However often a callback comes, the status is read once and the first hint is kept."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(accepted_as="task_1")
        await setup.call(path)
        await setup.attempt()
        before = [await store.read(key) for key in await store.keys("clips/")]

        statuses = {await setup.call(path, f"task_{number}") for number in range(100)}
        await asyncio.sleep(0.5)

    assert statuses == {200}
    assert len(setup.api.reads) == 1
    assert [await store.read(key) for key in await store.keys("clips/")] == before


async def test_early_callbacks_are_bounded(store: Store) -> None:
    """However often it is called before its end, a generation is read once a second at most."""
    async with receiving(store, StatusApi(state="processing")) as setup:
        path = await setup.submit(accepted_as="task_1")
        for _ in range(160):
            await setup.call(path)
            await asyncio.sleep(0.02)
        took = asyncio.get_running_loop().time() - setup.api.reads[0][1]

    moments = [moment for _, moment in setup.api.reads]
    assert 1 < len(moments) <= took + 1
    assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(moments))
    assert setup.reported == []


async def test_resumes_pending_hints(store: Store) -> None:
    """Hints that one receiver stored and did not finish are followed by the next one."""
    async with receiving(store, StatusApi(state="processing")) as setup:
        await setup.call(await setup.submit(1, accepted_as="task_1"))
        await setup.call(await setup.submit(2, accepted_as="task_2"), "task_2")

    async with receiving(store, succeeding()) as setup:
        attempts = [await setup.attempt(number) for number in (1, 2)]

    assert all(attempt.outcome for attempt in attempts)
    assert sorted(read for read, _ in setup.api.reads) == ["task_1", "task_2"]


async def test_waits_for_late_answer(store: Store) -> None:
    """A callback that arrives before the submission's answer is recorded waits for that answer."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(settles_in=20.0)
        await setup.call(path, "callback_task")
        undecided = await setup.attempt(seconds=0.5)

        await setup.ledger.accept(undecided, "answer_task")
        attempt = await setup.attempt()

    assert undecided.undecided
    assert attempt.outcome
    assert attempt.generation_id == "answer_task"
    assert [read for read, _ in setup.api.reads] == ["answer_task"]


async def test_resolves_lost_answer(store: Store) -> None:
    """Once its run can no longer record an answer, an attempt is accepted under the callback's id."""
    async with receiving(store, succeeding()) as setup:
        await setup.call(await setup.submit(), "task_9")
        attempt = await setup.attempt()

    assert attempt.outcome
    assert attempt.acceptance
    assert attempt.generation_id == "task_9"
    assert "a callback" in (attempt.acceptance.resolved_by or "")


@pytest.mark.parametrize(
    "api",
    [
        pytest.param(StatusApi(), id="unknown to the API"),
        pytest.param(succeeding(SUBMITTED_AT - timedelta(hours=1)), id="created before"),
        pytest.param(succeeding(SUBMITTED_AT + timedelta(hours=1)), id="created after"),
    ],
)
async def test_refuses_implausible_id(store: Store, api: StatusApi) -> None:
    """An id that cannot belong to the attempt resolves nothing, and is read once."""
    async with receiving(store, api) as setup:
        path = await setup.submit()
        for _ in range(5):
            await setup.call(path, "task_9")
            attempt = await setup.attempt(seconds=0.2)

    assert attempt.undecided
    assert len(setup.api.reads) == 1


async def test_refuses_id_of_other_attempt(store: Store) -> None:
    """An id that belongs to another attempt in the archive resolves nothing."""
    async with receiving(store, succeeding()) as setup:
        await setup.submit(1, accepted_as="task_1")
        await setup.call(await setup.submit(2), "task_1")
        attempt = await setup.attempt(2, seconds=0.5)

    assert attempt.undecided


async def test_callback_overrules_loss(store: Store) -> None:
    """An attempt that was declared lost is accepted if its callback proves that the generation exists."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit()
        attempt = await setup.ledger.attempt(f"{1:032}", 1)
        assert attempt
        await setup.ledger.conclude(attempt, Outcome.of_loss(resolved_by="a person"))

        await setup.call(path, "task_9")
        attempt = await setup.attempt()

    assert attempt.generation_id == "task_9"
    assert attempt.has_video
    assert [each.outcome.result for each in setup.reported if each.outcome] == [Result.success]
