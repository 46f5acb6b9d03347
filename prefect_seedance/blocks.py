"""What Prefect stores for its users: the account's credentials."""

import os
from typing import Self

from prefect.blocks.abstract import CredentialsBlock
from pydantic import Field, SecretStr

from prefect_seedance.client import SeedanceClient
from prefect_seedance.errors import SetupError
from prefect_seedance.limiter import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE, Limiter
from prefect_seedance.models import DEFAULT_BASE_URL, DEFAULT_MODEL, Provider

API_KEY_VARIABLE = "SEEDANCE_API_KEY"
BASE_URL_VARIABLE = "SEEDANCE_BASE_URL"

_LIMITERS: dict[tuple[str, str], Limiter] = {}
"""By base URL and key: all clients of an account, in all threads, share its budget."""


class SeedanceCredentials(CredentialsBlock):
    """An account at the Seedance API, and how to use it.

    Example:
        Load stored credentials and ask for the state of a generation:
        ```python
        from prefect_seedance import SeedanceCredentials

        credentials = SeedanceCredentials.load("BLOCK_NAME")
        async with credentials.get_client() as client:
            generation = await client.status("task_12345678")
        ```
    """

    _block_type_name = "Seedance Credentials"
    _block_type_slug = "seedance-credentials"
    _documentation_url = "https://github.com/prefect-seedance/prefect-seedance"  # type: ignore[assignment]  # Prefect coerces it

    api_key: SecretStr = Field(description="The API key; it is sent to the base URL's host and nowhere else.")
    base_url: str = Field(default=DEFAULT_BASE_URL, description="Where the API is.")
    provider: Provider = Field(
        default="auto", description="Routing strategy: auto, value (cheaper) or official."
    )
    model: str = Field(default=DEFAULT_MODEL, description="Id of the model, as in the API's paths.")
    requests_per_minute: int = Field(
        default=REQUESTS_PER_MINUTE, gt=0, description="The account's limit of requests a minute."
    )
    generations_in_flight: int = Field(
        default=GENERATIONS_IN_FLIGHT, gt=0, description="The account's limit of concurrent generations."
    )

    @classmethod
    def from_env(cls) -> Self:
        """Take the key from SEEDANCE_API_KEY, and the host from SEEDANCE_BASE_URL if that is set.

        Raises:
            SetupError: If there is no key.
        """
        api_key = os.environ.get(API_KEY_VARIABLE, "")
        if not api_key:
            raise SetupError(
                f"There is no API key. Set {API_KEY_VARIABLE}, or name a stored credentials block"
            )
        return cls(api_key=SecretStr(api_key), base_url=os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL)

    @classmethod
    async def find(cls, credentials: Self | str) -> Self:
        """Return the credentials that are meant: themselves, stored under a name, or the environment's.

        Raises:
            SetupError: If there are none.
        """
        if isinstance(credentials, cls):
            return credentials
        if not credentials:
            return cls.from_env()
        try:
            return await cls.aload(str(credentials))
        except ValueError as error:
            raise SetupError(f"There are no stored credentials named {credentials!r}: {error}") from error

    def get_client(self, *, timeout_seconds: float = 60.0) -> SeedanceClient:
        """Return a client for this account, to be used as an async context manager.

        Args:
            timeout_seconds: Bound of one request.
        """
        key = self.api_key.get_secret_value()
        limiter = _LIMITERS.setdefault((self.base_url, key), Limiter(self.requests_per_minute))
        return SeedanceClient(
            key,
            base_url=self.base_url,
            model=self.model,
            timeout_seconds=timeout_seconds,
            limiter=limiter,
        )
