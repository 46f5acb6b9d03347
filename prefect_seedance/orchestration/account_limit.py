"""Create the global concurrency limit by which processes divide an account."""

from typing import Literal, NamedTuple

import httpx
from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectNotFound, PrefectException

from prefect_seedance.api.account import account_name
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.slots import REQUESTS_PER_SLOT
from prefect_seedance.errors import SetupError


class AccountLimit(NamedTuple):
    """The limit of an account, and the action that it needed."""

    name: str
    action: Literal["create", "keep"]
    slots: int


async def limit_account(credentials: Credentials, *, dry_run: bool = False) -> AccountLimit:
    """Create the limit of an account with as many slots as it may use, unless it exists.

    Args:
        credentials: The account; its limits of generations and requests decide how many slots there are.
        dry_run: Return what would be done, without doing it.

    Raises:
        SetupError: If the Prefect server does not answer.
    """
    name = account_name(credentials.base_url, credentials.api_key.get_secret_value())
    slots = min(
        credentials.generations_in_flight, max(1, credentials.requests_per_minute // REQUESTS_PER_SLOT)
    )
    try:
        async with get_client() as client:
            try:
                existing = await client.read_global_concurrency_limit_by_name(name)
            except ObjectNotFound:
                if not dry_run:
                    await client.create_global_concurrency_limit(
                        GlobalConcurrencyLimitCreate(name=name, limit=slots)
                    )
                return AccountLimit(name, "create", slots)
            return AccountLimit(name, "keep", existing.limit)
    except (httpx.HTTPError, PrefectException) as error:
        raise SetupError(
            f"The Prefect server failed ({error}). Check it and PREFECT_API_URL, and run the command again"
        ) from error
