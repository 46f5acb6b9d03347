"""Processes that divide an account, on a real Prefect server; each `ShareHolder` is one of them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from prefect_seedance import ClipList, Manifest, SeedanceCredentials, Waiting, produce
from prefect_seedance.api.account import account_name
from prefect_seedance.api.slots import Slot, Slots
from prefect_seedance.orchestration.account_share import shared_account
from prefect_seedance.orchestration.share_holder import ShareHolder
from tests.flows.conftest import Api, eventually
from tests.processes import Sandbox

_HOUR = 3600.0


class Account:
    """An account with a limit on the server."""

    def __init__(self, api: Api, *, size: int) -> None:
        self.name = f"seedance-test-{uuid4().hex}"
        self._api = api
        self.create(size)

    def create(self, size: int) -> None:
        self._api.post("/v2/concurrency_limits/", {"name": self.name, "limit": size}).raise_for_status()

    @property
    def taken(self) -> int:
        return int(self._api.get(f"/v2/concurrency_limits/{self.name}")["active_slots"])

    @property
    def waiting(self) -> int:
        """How many processes wait; the first one creates the limit that counts them."""
        try:
            return int(self._api.get(f"/v2/concurrency_limits/{self.name}-waiting")["active_slots"])
        except httpx.HTTPStatusError:
            return 0

    def resize(self, size: int) -> None:
        self._api.patch(f"/v2/concurrency_limits/{self.name}", {"limit": size})

    def delete(self) -> None:
        self._api.delete(f"/v2/concurrency_limits/{self.name}")

    @contextmanager
    def process(self, slots: Slots) -> Iterator[ShareHolder]:
        """Share the account with a process that has these slots."""
        holder = ShareHolder(slots, self.name)
        holder.start()
        try:
            yield holder
        finally:
            holder.stop()
            holder.join()


class Generations:
    """Generations of one process, which are submitted as soon as there are slots, in its own event loop."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.running: list[Slot] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._waiting: list[asyncio.Task[None]] = []
        self._thread.start()

    def submit(self, number: int, *, seconds: float = _HOUR) -> None:
        """Submit generations as soon as possible."""
        self._loop.call_soon_threadsafe(
            lambda: self._waiting.extend(
                self._loop.create_task(self._generate(seconds)) for _ in range(number)
            )
        )

    def end(self, number: int) -> None:
        """End some of the running ones."""
        for _ in range(number):
            self.slots.release(self.running.pop())

    def close(self) -> None:
        """Cancel those that wait."""

        async def cancel() -> None:
            for task in self._waiting:
                task.cancel()
            await asyncio.gather(*self._waiting, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _generate(self, seconds: float) -> None:
        slot = await self.slots.acquire(limit=1_000, deadline=self._loop.time() + seconds)
        self.running.append(slot)


@pytest.fixture
def processes() -> Iterator[tuple[Generations, Generations]]:
    """Return the generations of two processes."""
    both = Generations(), Generations()
    yield both
    for each in both:
        each.close()


@pytest.fixture
def account(api: Api) -> Callable[[int], Account]:
    """Return a function that makes an account with a number of slots."""
    return lambda size: Account(api, size=size)


def test_slots_follow_the_clips(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """A process leases as many slots as it has clips, returns those of ended ones, and in the end all."""
    (one, _), studio = processes, account(50)

    with studio.process(one.slots):
        one.submit(7)
        all_run = eventually(lambda: len(one.running) == 7)
        leased = studio.taken
        one.end(4)
        is_returned = eventually(lambda: studio.taken == 3)

    assert (all_run, leased, is_returned) == (True, 7, True)
    assert studio.taken == 0
    assert one.slots.share is None


def test_limit_holds_for_all(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """Two processes together start no more generations than the account has slots."""
    (one, other), studio = processes, account(6)

    with studio.process(one.slots), studio.process(other.slots):
        one.submit(20)
        other.submit(20)
        is_full = eventually(lambda: len(one.running) + len(other.running) == 6)
        both_wait = eventually(lambda: studio.waiting == 2)
        running = len(one.running) + len(other.running)

    assert (is_full, both_wait, running) == (True, True, 6)


def test_latecomer_gets_its_part(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """A process that has all slots, and clips for many more, leaves half of them to one that comes later."""
    (one, other), studio = processes, account(6)

    with studio.process(one.slots), studio.process(other.slots):
        one.submit(100)
        assert eventually(lambda: len(one.running) == 6)
        other.submit(100)
        assert eventually(lambda: one.slots.share and one.slots.share.most == 3)
        one.end(6)

        assert eventually(lambda: (len(one.running), len(other.running)) == (3, 3))


def test_rest_goes_to_those_who_wait(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """What one process does not need goes to the other, beyond its equal part."""
    (one, other), studio = processes, account(6)

    with studio.process(one.slots), studio.process(other.slots):
        one.submit(2)
        assert eventually(lambda: len(one.running) == 2)
        other.submit(100)
        assert eventually(lambda: len(other.running) == 4)
        one.end(2)

        assert eventually(lambda: len(other.running) == 6)


def test_lowered_limit_takes_slots_back(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """After a person lowered the limit, ended generations are not replaced until it is kept."""
    (one, _), studio = processes, account(6)

    with studio.process(one.slots):
        one.submit(100)
        assert eventually(lambda: len(one.running) == 6)
        studio.resize(2)
        assert eventually(lambda: one.slots.share and one.slots.share.most == 2)
        one.end(5)

        assert eventually(lambda: studio.taken == 2)
        assert eventually(lambda: len(one.running) == 2)


def test_deleted_limit_leaves_the_own_one(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """Without the limit, a process observes the account's limits on its own, as without a server."""
    (one, _), studio = processes, account(2)

    with studio.process(one.slots):
        one.submit(5)
        assert eventually(lambda: len(one.running) == 2)
        studio.delete()

        assert eventually(lambda: len(one.running) == 5)


def test_killed_process_loses_its_slots(
    account: Callable[[int], Account], api: Api, processes: tuple[Generations, Generations]
) -> None:
    """The slots of a process that was killed come back when their lease ends, and wait no longer."""
    (one, _), studio = processes, account(2)
    body = {"names": [studio.name], "slots": 2, "mode": "concurrency", "lease_duration": 60}
    api.post("/v2/concurrency_limits/increment-with-lease", body).raise_for_status()  # and die

    with studio.process(one.slots):
        one.submit(2)
        was_full = studio.taken == 2 and not one.running

        assert eventually(lambda: len(one.running) == 2, seconds=150)
    assert was_full


def test_lost_lease_is_replaced(
    account: Callable[[int], Account], api: Api, processes: tuple[Generations, Generations]
) -> None:
    """If the server forgets a lease, as in a restart, its slots are returned and leased again."""
    (one, _), studio = processes, account(2)
    holder = ShareHolder(one.slots, studio.name, lease_seconds=60)
    holder.start()
    try:
        one.submit(3)
        assert eventually(lambda: len(one.running) == 2)
        assert one.slots.share
        (lease, *_) = former = set(one.slots.share.blocks)
        api.post("/v2/concurrency_limits/decrement-with-lease", {"lease_id": str(lease)})
        api.post(
            "/v2/concurrency_limits/increment", {"names": [studio.name], "slots": 1, "mode": "concurrency"}
        )

        replaced = eventually(lambda: one.slots.share and lease not in one.slots.share.blocks)
        assert replaced
        assert eventually(lambda: one.slots.share and len(one.slots.share.blocks) == len(former))
        assert studio.taken == 2
    finally:
        holder.stop()
        holder.join()
    assert studio.taken == 0


def test_silent_server_stops_new_clips(
    account: Callable[[int], Account], processes: tuple[Generations, Generations]
) -> None:
    """While the server does not answer, running generations keep their slots, and the wait has a reason."""
    (one, _), studio = processes, account(2)

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), studio.process(one.slots):
        one.submit(1)
        problem = eventually(lambda: one.slots.share and one.slots.share.problem)
        submitted = len(one.running)

    assert "onnect" in str(problem)
    assert submitted == 0


def test_account_without_limit_is_not_divided(sandbox: Sandbox) -> None:
    """Without a limit of the account's name, nothing changes."""
    credentials, slots = SeedanceCredentials(api_key=SecretStr(uuid4().hex), base_url=sandbox.url), Slots()

    async def look() -> bool:
        async with shared_account(credentials, slots):
            return slots.share is None

    assert asyncio.run(look())


@flow
async def _make(clips: ClipList, archive: str, credentials: SeedanceCredentials) -> Manifest:
    waiting = Waiting(first_poll_seconds=0.3, poll_every_seconds=0.2, deadline_seconds=120)
    return await produce(
        clips, archive=archive, credentials=credentials, waiting=waiting, on_incomplete="return"
    )


def test_runs_divide_their_account(api: Api, start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    """A flow run starts no more generations at a time than the account's limit, and returns its slots."""
    sandbox = start_sandbox(speed=20, max_in_flight=5)
    credentials = SeedanceCredentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url)
    name = account_name(sandbox.url, sandbox.key)
    api.post("/v2/concurrency_limits/", {"name": name, "limit": 5}).raise_for_status()
    clips = ClipList.model_validate(
        {"title": "Bells", "clips": [{"prompt": f"bell {number} rings"} for number in range(8)]}
    )

    manifest = asyncio.run(_make(clips, str(tmp_path / "archive"), credentials))

    returned = eventually(lambda: api.get(f"/v2/concurrency_limits/{name}")["active_slots"] == 0)
    totals = sandbox.totals()
    assert manifest.is_complete
    assert returned
    assert totals["max_in_flight"] <= 5
    assert totals["submits_received"] == totals["accepted"] == 8
