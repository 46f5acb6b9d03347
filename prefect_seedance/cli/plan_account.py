"""What a plan knows of the account that would pay."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.credentials import API_KEY_VARIABLE, Credentials, base_url_from_env
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.errors import SeedanceError
from prefect_seedance.options import DEFAULT_MAX_SECONDS

_SECONDS: Final = 5.0
"""Bound of reading the balance, which is only a remark."""


@dataclass(frozen=True, kw_only=True)
class PlanAccount:
    """An account, or the defaults of one in the environment, whose key may be missing.

    Attributes:
        model: Id of the model of clips that choose none.
        max_seconds: Most seconds of video that a run may buy, unless it sets its own limit.
        price_per_second: None if it is unknown.
    """

    base_url: str
    allow_hosts: tuple[str, ...]
    model: str = DEFAULT_MODEL
    provider: str = "auto"
    max_seconds: int = DEFAULT_MAX_SECONDS
    price_per_second: Decimal | None = None
    credentials: Credentials | None = None

    @classmethod
    async def find(cls, name: str, *, allow_hosts: tuple[str, ...]) -> Self:
        """Return the account of a stored credentials block, or without its name that of the environment.

        Raises:
            SetupError: If there is no such block, or the base URL is invalid.
        """
        if name:
            from prefect_seedance.orchestration.blocks import find_credentials  # noqa: PLC0415 -- loads Prefect

            found: Credentials | None = await find_credentials(name)
        else:
            found = Credentials.from_env() if os.environ.get(API_KEY_VARIABLE) else None
        if found is None:
            return cls(base_url=base_url_from_env(), allow_hosts=allow_hosts)
        return cls(
            base_url=found.base_url,
            allow_hosts=(*found.allow_hosts, *allow_hosts),
            model=found.model,
            provider=found.provider,
            max_seconds=found.max_seconds,
            price_per_second=found.price_per_second or None,
            credentials=found,
        )

    @property
    def host_policy(self) -> HostPolicy:
        """Which hosts storyboards may be read from."""
        return HostPolicy.of(self.base_url, allow_hosts=self.allow_hosts)

    async def balance(self) -> Decimal | None:
        """Return the balance in US dollars; None without a key, or if it cannot be read."""
        if self.credentials is None:
            return None
        with suppress(SeedanceError, TimeoutError):
            async with asyncio.timeout(_SECONDS), self.credentials.get_client() as client:
                return await client.balance(seconds=0)
        return None
