"""Create the global concurrency limit by which processes divide an account."""

import asyncio
from typing import Literal, NamedTuple, Self

from prefect_seedance.api.account import account_name
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.slots import REQUESTS_PER_SLOT
from prefect_seedance.orchestration.limit_server import LimitServer, NoLimitError


class AccountLimit(NamedTuple):
    """The limit of an account, and the action that it needs."""

    name: str
    action: Literal["create", "keep"]
    slots: int

    @classmethod
    async def plan(cls, credentials: Credentials) -> Self:
        """Decide whether to create the limit of an account, with as many slots as it may use.

        Args:
            credentials: The account; its limits of generations and requests decide how many slots there are.

        Raises:
            ConnectionFailedError: If the Prefect server does not answer.
        """
        name = account_name(credentials.base_url, credentials.api_key.get_secret_value())
        slots = min(
            credentials.generations_in_flight, max(1, credentials.requests_per_minute // REQUESTS_PER_SLOT)
        )
        return await asyncio.to_thread(cls._planned, name, slots=slots)

    async def carry_out(self) -> Self:
        """Create it if it is missing, and return it; one that another process has created meanwhile is kept.

        Raises:
            ConnectionFailedError: If the Prefect server does not answer.
        """
        return await asyncio.to_thread(self._created) if self.action == "create" else self

    @classmethod
    def _planned(cls, name: str, *, slots: int) -> Self:
        with LimitServer.connected() as server:
            try:
                return cls(name, "keep", server.read(name).size)
            except NoLimitError:
                return cls(name, "create", slots)

    def _created(self) -> Self:
        with LimitServer.connected() as server:
            is_new = server.create(self.name, size=self.slots)
        return self if is_new else self._planned(self.name, slots=self.slots)
