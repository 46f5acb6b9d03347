"""An account at the API: its key, host, model and limits."""

import os
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, Field, SecretStr, field_validator

from prefect_seedance.api.account import GENERATIONS_IN_FLIGHT, REQUESTS_PER_MINUTE
from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.callback_urls import Callbacks, Secrets
from prefect_seedance.api.client import REQUEST_TIMEOUT_SECONDS, SeedanceClient
from prefect_seedance.api.models import DEFAULT_MODEL, use_models
from prefect_seedance.api.urls import checked_base_url
from prefect_seedance.api.wire import DEFAULT_BASE_URL, Provider
from prefect_seedance.doors import API_KEY_VARIABLE, BASE_URL_VARIABLE, CALLBACK_SECRET_VARIABLE, account
from prefect_seedance.errors import SetupError
from prefect_seedance.options import DEFAULT_MAX_SECONDS, AllowHosts, help_text


def base_url_from_env() -> str:
    """Return the base URL in SEEDANCE_BASE_URL, or the provider's.

    Raises:
        SetupError: If it is invalid.
    """
    return checked_base_url(os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL)


def no_key() -> str:
    """Return that there is no API key, with the remedy."""
    return f"There is no API key. Set {account('api_key')}"


class Credentials(BaseModel):
    """An account at the Seedance API, and how to use it.

    The Prefect block `SeedanceCredentials` has the same fields, and can be passed in place of `Credentials`.
    """

    api_key: SecretStr = Field(description="The API key. It is sent to the base URL's host and nowhere else.")
    base_url: str = Field(
        default=DEFAULT_BASE_URL,
        description="Base URL of the API; https://, unless the API is on this machine.",
    )
    provider: Provider = Field(
        default="auto", description="Routing strategy: auto, value (cheaper) or official."
    )
    model: str = Field(default=DEFAULT_MODEL, description="Id of the model of clips that choose none.")
    requests_per_minute: int = Field(
        default=REQUESTS_PER_MINUTE, gt=0, description="The account's limit of requests per minute."
    )
    generations_in_flight: int = Field(
        default=GENERATIONS_IN_FLIGHT, gt=0, description="The account's limit of concurrent generations."
    )
    price_per_second: Decimal = Field(
        default=Decimal(0),
        ge=0,
        description="Price of one second of video, in the account's currency; 0 if unknown.",
    )
    callback_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret that signs callback URLs, the same for runs and receiver. Default: "
        "SEEDANCE_CALLBACK_SECRET. To replace a secret, give the new and the old one, separated by a space: "
        "the first signs, and both are accepted.",
    )
    max_seconds: int = Field(
        default=DEFAULT_MAX_SECONDS,
        ge=0,
        description="Most seconds of video that one run may buy, unless the run sets its own limit.",
    )

    allow_hosts: AllowHosts = Field(default=(), description=help_text(AllowHosts))

    models: str = Field(
        default="",
        description="Path of a YAML file of further models where runs can read it. Default: SEEDANCE_MODELS.",
    )

    @field_validator("models")
    @classmethod
    def _is_file_of_models(cls, models: str) -> str:
        try:
            use_models(models)
        except SetupError as error:
            raise ValueError(str(error)) from None
        return models

    @field_validator("base_url")
    @classmethod
    def _is_base_url(cls, base_url: str) -> str:
        """Refuse a base URL to which the key must not be sent, before anything is."""
        try:
            checked_base_url(base_url)
        except SetupError as error:
            raise ValueError(str(error)) from None
        return base_url

    @classmethod
    def from_env(cls, *, base_url: str = "") -> Self:
        """Read the key from SEEDANCE_API_KEY, and the base URL from SEEDANCE_BASE_URL if that is set.

        Args:
            base_url: Replaces the environment's base URL.

        Raises:
            SetupError: If there is no key, or the base URL is invalid.
        """
        api_key = os.environ.get(API_KEY_VARIABLE, "")
        if not api_key:
            raise SetupError(no_key())
        return cls(
            api_key=SecretStr(api_key),
            base_url=checked_base_url(base_url) if base_url else base_url_from_env(),
        )

    @property
    def host_policy(self) -> HostPolicy:
        """Which hosts results, images and storyboards may be read from."""
        return HostPolicy.of(self.base_url, allow_hosts=self.allow_hosts)

    @property
    def _secret(self) -> str:
        return self.callback_secret.get_secret_value() or os.environ.get(CALLBACK_SECRET_VARIABLE, "")

    def callback_secrets(self) -> Secrets:
        """Return the secrets that sign callback URLs.

        Raises:
            SetupError: If there is no secret, or a weak one.
        """
        return Secrets.parse(self._secret)

    def callbacks(self, base_url: str) -> Callbacks | None:
        """Return the signed callback URLs below a receiver's public URL, or None without a URL.

        Args:
            base_url: The receiver's public URL; empty to poll instead.

        Raises:
            SetupError: If the URL is invalid or unencrypted, or there is no good secret.
        """
        if not base_url:
            return None
        return Callbacks.open(base_url, secret=self._secret, api_url=self.base_url)

    def get_client(self, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> SeedanceClient:
        """Return a client for this account, to be used as an async context manager.

        Args:
            timeout_seconds: Bound of one request.
        """
        return SeedanceClient(
            self.api_key.get_secret_value(),
            base_url=self.base_url,
            model=self.model,
            timeout_seconds=timeout_seconds,
            requests_per_minute=self.requests_per_minute,
        )
