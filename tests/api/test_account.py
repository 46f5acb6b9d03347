import asyncio
from decimal import Decimal

import pytest

from prefect_seedance.api.account import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE, Account, account_name
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


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.apixo.ai", "seedance-api.apixo.ai-"),
        ("https://API.apixo.ai:443/v2/", "seedance-api.apixo.ai-"),
        ("http://127.0.0.1:8080", "seedance-127.0.0.1-8080-"),
        ("http://[::1]:8080", "seedance-1-8080-"),
    ],
)
def test_name_shows_the_host(url: str, name: str) -> None:
    """An account's name consists of host and a digest of the key."""
    found = account_name(url, "sk-hidden")

    assert found.removeprefix(name).isalnum()
    assert "hidden" not in found


def test_name_identifies_the_account() -> None:
    """The same key at the same host has the same name, and another key another one."""
    assert account_name(URL, "key") == account_name(f"{URL}/v2", "key")
    assert account_name(URL, "key") != account_name(URL, "other")


@pytest.mark.parametrize("kind", [AuthenticationError, InsufficientFundsError])
async def test_refusal_lasts_a_minute(kind: type[AuthenticationError | InsufficientFundsError]) -> None:
    """After the API refused the key or the balance, nothing is admitted for a minute."""
    account = Account()
    account.refuse(kind("no", code=400))
    await asyncio.sleep(55)

    with pytest.raises(kind, match=r"no; the next submission is sent in 5 s") as caught:
        async with account.admission(REQUESTS_PER_MINUTE):
            pass
    await asyncio.sleep(5)
    async with account.admission(REQUESTS_PER_MINUTE):
        pass

    assert caught.value.code == 400


async def test_refusals_keep_no_pace() -> None:
    """While the API refuses the key, submissions are refused at once, not one by one at their pace."""
    account, began = Account(), now()
    account.refuse(AuthenticationError("no"))

    for _ in range(3):
        with pytest.raises(AuthenticationError):
            async with account.admission(6):
                pass

    assert now() - began < 1


async def test_refusal_reaches_those_that_wait() -> None:
    """A submission that waits for its pace when the API refuses another one is not admitted."""
    account = Account()

    async def submit() -> None:
        async with account.admission(6):
            await asyncio.sleep(1)
            account.refuse(AuthenticationError("no"))

    first, second = await asyncio.gather(submit(), submit(), return_exceptions=True)

    assert first is None
    assert isinstance(second, AuthenticationError)


async def test_refusal_can_be_forgiven() -> None:
    """Once the API reports a balance, submissions are admitted."""
    account = Account()
    account.refuse(InsufficientFundsError("no"))

    account.forgive(Decimal(1))

    async with account.admission(REQUESTS_PER_MINUTE):
        pass


async def test_empty_balance_forgives_nothing() -> None:
    """A balance of zero leaves the refusal for lack of money."""
    account = Account()
    account.refuse(InsufficientFundsError("no"))

    account.forgive(Decimal(0))

    with pytest.raises(InsufficientFundsError):
        async with account.admission(REQUESTS_PER_MINUTE):
            pass


async def test_model_is_refused_alone() -> None:
    """After the API refused one model, submissions of the others are admitted."""
    account = Account()
    account.learn(ServerError("model unavailable", code=503), model="old")

    async with account.admission(REQUESTS_PER_MINUTE, model="new"):
        pass

    with pytest.raises(ModelUnavailableError, match="The model old is retired, or unknown to the API"):
        async with account.admission(REQUESTS_PER_MINUTE, model="old"):
            pass
