import asyncio
from decimal import Decimal

import pytest

from prefect_seedance.api.account import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE, Account, Slots
from prefect_seedance.errors import (
    AuthenticationError,
    InsufficientFundsError,
    ModelUnavailableError,
    ServerError,
)

URL = "https://api.apixo.ai"


def now() -> float:
    return asyncio.get_running_loop().time()


def test_pins_the_limits() -> None:
    """The defaults are the account's limits."""
    assert (REQUESTS_PER_MINUTE, GENERATIONS_IN_FLIGHT) == (10_000, 1_000)


@pytest.mark.parametrize(
    ("url", "key", "is_same"),
    [
        ("https://api.apixo.ai", "key", True),
        ("https://API.apixo.ai:443/v2/", "key", True),
        ("https://api.apixo.ai", "other", False),
        ("http://api.apixo.ai", "key", False),
        ("https://api.apixo.ai:8443", "key", False),
        ("https://elsewhere.example", "key", False),
    ],
)
def test_host_and_key_make_an_account(url: str, key: str, is_same: bool) -> None:  # noqa: FBT001  # a column
    """The same key at the same host is the same account, whatever the path."""
    assert (Account.of(url, key) is Account.of(URL, "key")) is is_same


def test_repr_hides_the_key() -> None:
    """The key is in no repr, neither the account's nor its registry's."""
    shown = Account.of(URL, "sk-hidden")

    assert "sk-hidden" not in f"{shown!r} {vars(shown)!r}"


@pytest.mark.parametrize("kind", [AuthenticationError, InsufficientFundsError])
async def test_refusal_lasts_a_minute(kind: type[AuthenticationError | InsufficientFundsError]) -> None:
    """After the API refused the key or the balance, nothing is admitted for a minute."""
    account = Account()
    account.refuse(kind("no", code=400))
    await asyncio.sleep(55)

    with pytest.raises(kind, match=r"no; the next submission is sent in 5 s") as caught:
        async with account.admission():
            pass
    await asyncio.sleep(5)
    async with account.admission():
        pass

    assert caught.value.code == 400


async def test_refusal_can_be_forgiven() -> None:
    """Once the API reports a balance, submissions are admitted."""
    account = Account()
    account.refuse(InsufficientFundsError("no"))

    account.forgive(Decimal(1))

    async with account.admission():
        pass


async def test_empty_balance_forgives_nothing() -> None:
    """A balance of zero leaves the refusal for lack of money."""
    account = Account()
    account.refuse(InsufficientFundsError("no"))

    account.forgive(Decimal(0))

    with pytest.raises(InsufficientFundsError):
        async with account.admission():
            pass


async def test_model_is_refused_alone() -> None:
    """After the API refused one model, submissions of the others are admitted."""
    account = Account()
    account.learn(ServerError("model unavailable", code=503), model="old")

    async with account.admission(model="new"):
        pass

    with pytest.raises(ModelUnavailableError, match="The model old is retired, or unknown to the API"):
        async with account.admission(model="old"):
            pass


async def test_slots_are_limited() -> None:
    """A slot is given when one is released, in order of arrival."""
    slots, order = Slots(), []

    async def generate(number: int) -> None:
        slot = await slots.acquire(limit=2, deadline=now() + 60)
        order.append((number, round(now() - began)))
        await asyncio.sleep(10)
        slots.release(slot)

    began = now()
    await asyncio.gather(*[generate(number) for number in range(5)])

    assert order == [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20)]


async def test_slots_have_a_deadline() -> None:
    """A wait for a slot ends at its deadline, and takes none."""
    slots = Slots()
    taken = slots.take()
    began = now()

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=1, deadline=began + 30)
    ended = now()
    slots.release(taken)

    assert 30 <= ended - began < 30.5
    await slots.acquire(limit=1, deadline=0)


async def test_free_slots_need_no_time() -> None:
    """Past the deadline, a free slot is taken, and a full account refuses at once."""
    slots = Slots()
    began = now()

    await slots.acquire(limit=1, deadline=0)
    with pytest.raises(TimeoutError):
        await slots.acquire(limit=1, deadline=0)

    assert now() - began < 0.5


async def test_existing_generations_take_slots() -> None:
    """Generations that exist take slots beyond the limit, and new ones wait until there are fewer."""
    slots = Slots()
    existing = [slots.take() for _ in range(3)]
    waiting = asyncio.create_task(slots.acquire(limit=2, deadline=now() + 60))

    slots.release(existing[0])
    await asyncio.sleep(1)
    is_full = not waiting.done()
    slots.release(existing[1])
    await asyncio.sleep(1)

    assert is_full
    assert waiting.done()


async def test_slots_have_no_common_limit() -> None:
    """A run with a low limit waits, and does not block one with a higher limit."""
    slots = Slots()
    taken = slots.take()
    low = asyncio.create_task(slots.acquire(limit=1, deadline=now() + 60))
    await asyncio.sleep(1)

    high = await slots.acquire(limit=2, deadline=now() + 60)
    slots.release(taken)
    slots.release(high)

    await low


async def test_slots_are_released_once() -> None:
    """Releasing a slot twice makes room for one generation."""
    slots = Slots()
    slot, _ = slots.take(), slots.take()

    slots.release(slot)
    slots.release(slot)
    await slots.acquire(limit=2, deadline=0)

    with pytest.raises(TimeoutError):
        await slots.acquire(limit=2, deadline=0)


@pytest.mark.parametrize("turns", range(4))
async def test_cancelled_waiter_leaves_its_slot(turns: int) -> None:
    """A run that is cancelled around the moment when it gets a slot passes it on."""
    slots = Slots()
    taken = slots.take()
    cancelled, other = (asyncio.create_task(slots.acquire(limit=1, deadline=now() + 600)) for _ in range(2))
    await asyncio.sleep(1)

    slots.release(taken)
    for _ in range(turns):
        await asyncio.sleep(0)
    if not cancelled.cancel():
        slots.release(cancelled.result())
    await asyncio.wait([cancelled])

    await asyncio.wait_for(other, 10)


async def test_threads_share_slots() -> None:
    """Event loops in two threads together keep the limit."""
    slots, lanes = Slots(), [0]
    most = 0

    async def generate() -> None:
        nonlocal most
        slot = await slots.acquire(limit=2, deadline=now() + 60)
        lanes[0] += 1
        most = max(most, lanes[0])
        await asyncio.sleep(0.02)
        lanes[0] -= 1
        slots.release(slot)

    async def produce() -> None:
        await asyncio.gather(*[generate() for _ in range(5)])

    await asyncio.gather(*[asyncio.to_thread(asyncio.run, produce()) for _ in range(2)])

    assert most == 2
