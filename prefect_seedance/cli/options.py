"""The option classes as parameters of commands."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Group, Parameter
from pydantic import SecretStr

from prefect_seedance import options
from prefect_seedance.api.credentials import Credentials, base_url_from_env, no_key
from prefect_seedance.api.urls import checked_base_url
from prefect_seedance.doors import API_KEY_VARIABLE, ARCHIVE_VARIABLE, option_name
from prefect_seedance.errors import SetupError
from prefect_seedance.options import (
    Budget,
    Hosting,
    JoinStyle,
    Loading,
    Output,
    RetryPolicy,
    Waiting,
    help_text,
)

if TYPE_CHECKING:
    from prefect_seedance.api.client import SeedanceClient

_HOUR, _MINUTE = 3600, 60


def _shown(default: object) -> str | None:
    """Format a default for the help page; an empty one is not shown. All floats are seconds."""
    if default is True:
        return "yes"
    if not isinstance(default, float):
        return str(default) if default else None
    for unit, seconds in (("h", _HOUR), ("m", _MINUTE)):
        if default and default % seconds == 0:
            return f"{default / seconds:g}{unit}"
    return f"{default:g}s" if default else None


PLAIN: Final = Parameter(
    negative_bool=(), negative_iterable=(), negative_none=(), name_transform=option_name, show_default=_shown
)
"""Defaults of all commands: a flag has no ``--no-`` form unless its default is true."""

Storyboard = Annotated[str, Parameter(help=help_text(options.Storyboard))]
Archive = Annotated[str, Parameter(env_var=ARCHIVE_VARIABLE, help=help_text(options.Archive))]
Name = Annotated[str, Parameter(help=help_text(options.ProductionName))]
Production = Annotated[str, Parameter(help=help_text(options.ExistingProduction))]
Price = Annotated[options.PricePerSecond, Parameter(help=help_text(options.PricePerSecond))]
AllowHost = Annotated[
    options.AllowHosts, Parameter(help=f"{help_text(options.AllowHosts)} Repeat the option for each host.")
]
Json = Annotated[bool, Parameter(help="Print the result as one JSON object.")]
Verbose = Annotated[
    bool,
    Parameter(
        help="Show the requests to the API, why they are repeated, Prefect's logs, and the traceback of an "
        "unexpected error."
    ),
]

_CLIPS = Group("Clips", sort_key=1)
_ACCOUNT = Group("Account", sort_key=2)
_TIME = Group("Time", sort_key=3)
_OUTPUT = Group("Film and report", sort_key=4)

LoadingOptions = Annotated[Loading, Parameter(name="*", group=_CLIPS)]
HostingOptions = Annotated[Hosting, Parameter(name="*", group=_CLIPS)]
RetryOptions = Annotated[RetryPolicy, Parameter(name="*", group=_CLIPS)]
BudgetOptions = Annotated[Budget, Parameter(name="*", group=_ACCOUNT)]
WaitingOptions = Annotated[Waiting, Parameter(name="*", group=_TIME, negative_bool="no-")]
JoinOptions = Annotated[JoinStyle, Parameter(name="*", group=_OUTPUT)]
OutputOptions = Annotated[Output, Parameter(name="*", group=_OUTPUT, negative_bool="no-")]


@Parameter(name="*", group=_ACCOUNT)
@dataclass(frozen=True, kw_only=True)
class Account:
    """Who pays."""

    credentials: Annotated[str, Parameter(help=help_text(options.CredentialsName))] = ""
    base_url: Annotated[str, Parameter(help="Base URL of the API. Default: SEEDANCE_BASE_URL.")] = ""
    allow_host: AllowHost = ()

    async def find(self) -> Credentials:
        """Return the credentials, from the environment or from Prefect.

        Raises:
            SetupError: If there are none, or the base URL is invalid.
        """
        if self.credentials and self.base_url:
            raise SetupError("The credentials block sets the base URL; leave out --base-url")
        if self.credentials:
            from prefect_seedance.orchestration.blocks import find_credentials  # noqa: PLC0415 -- loads Prefect

            found = await find_credentials(self.credentials)
        else:
            found = Credentials.from_env(base_url=self.base_url)
        if not self.allow_host:
            return found
        return found.model_copy(update={"allow_hosts": (*found.allow_hosts, *self.allow_host)})

    async def find_or_keyless(self) -> tuple[Credentials, str]:
        """Return the credentials; without a key, with an empty key, and why a run would refuse them.

        Raises:
            SetupError: If the block cannot be loaded, or the base URL is invalid.
        """
        if self.credentials or os.environ.get(API_KEY_VARIABLE):
            return await self.find(), ""
        base_url = checked_base_url(self.base_url) if self.base_url else base_url_from_env()
        keyless = Credentials(api_key=SecretStr(""), base_url=base_url, allow_hosts=self.allow_host)
        return keyless, no_key()

    async def client(self) -> "SeedanceClient":
        """Return a client for the account.

        Raises:
            SetupError: If there are no credentials.
        """
        return (await self.find()).get_client()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ProduceOptions:
    """Everything that configures a run, besides storyboard and archive."""

    loading: LoadingOptions = Loading()
    hosting: HostingOptions = Hosting()
    retry: RetryOptions = RetryPolicy()
    account: Account = Account()
    budget: BudgetOptions = Budget()
    waiting: WaitingOptions = Waiting()
    output: OutputOptions = Output()
