"""Do what a `produce` command asks for, from its options to its manifest."""

import asyncio
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from prefect_seedance.api.client import REQUEST_TIMEOUT_SECONDS
from prefect_seedance.cli import history as survey
from prefect_seedance.cli.options import FILM, Cutting, Price, Seconds, Share, Wanted
from prefect_seedance.clips.image_hosting import LIFETIME_SECONDS, ImageHost
from prefect_seedance.clips.poll import Polling
from prefect_seedance.errors import SetupError
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.parser import ParsedStoryboard
from prefect_seedance.storyboard.plan import Plan

if TYPE_CHECKING:
    from prefect_seedance.api.client import SeedanceClient
    from prefect_seedance.cli.progress import Screen
    from prefect_seedance.orchestration.blocks import SeedanceCredentials
    from prefect_seedance.orchestration.presentation import Output

_SILENT: Mapping[str, str] = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
}
"""Prefect's own lines would run through ours; its server gets them all the same."""

_VERBOSE: Mapping[str, str] = {"PREFECT_LOGGING_LEVEL": "DEBUG"}
_NOT_TRACKED: Mapping[str, str] = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@Parameter(name="*", group=Group("Account", sort_key=2))
@dataclass(frozen=True, kw_only=True)
class Account:
    """Who pays."""

    credentials: Annotated[
        str, Parameter(help="Name of a credentials block in Prefect; otherwise SEEDANCE_API_KEY is the key.")
    ] = ""
    base_url: Annotated[str, Parameter(help="Where the API is, if not at SEEDANCE_BASE_URL.")] = ""

    def open(self) -> "SeedanceCredentials | str":
        """Return the credentials, or the name of those that Prefect has.

        Raises:
            SetupError: If there are none.
        """
        from prefect_seedance.orchestration.blocks import SeedanceCredentials  # noqa: PLC0415 -- loads Prefect

        if self.credentials and self.base_url:
            raise SetupError("--credentials says where the API is; leave out --base-url")
        if self.credentials:
            return self.credentials
        account = SeedanceCredentials.from_env()
        return account.model_copy(update={"base_url": self.base_url}) if self.base_url else account

    async def found(self) -> "SeedanceCredentials":
        """Return the credentials, also those that Prefect has.

        Raises:
            SetupError: If there are none.
        """
        from prefect_seedance.orchestration.blocks import SeedanceCredentials  # noqa: PLC0415 -- loads Prefect

        return await SeedanceCredentials.find(self.open())

    async def client(self) -> "SeedanceClient":
        """Return a client for the account.

        Raises:
            SetupError: If there are no credentials.
        """
        return (await self.found()).get_client()


@Parameter(name="*", group=Group("Time", sort_key=3))
@dataclass(frozen=True, kw_only=True)
class Times:
    """How long to wait and how often to look."""

    deadline: Annotated[
        Seconds, Parameter(help="How long to wait in all, like 90m; what is in flight then goes on. [1h]")
    ] = 3600.0
    timeout: Annotated[Seconds, Parameter(help="Bound of one request. [60s]")] = REQUEST_TIMEOUT_SECONDS
    first_look: Annotated[
        Seconds | None, Parameter(help="From acceptance to the first look. [when it can be done]")
    ] = None
    look_every: Annotated[Seconds, Parameter(help="From look to look. [2s]")] = Polling().every_seconds
    images_lifetime: Annotated[
        Seconds, Parameter(help="How long the API can fetch local images from a bucket, at most 168h. [24h]")
    ] = LIFETIME_SECONDS

    @property
    def pace(self) -> Polling:
        """How often to look."""
        return Polling(first_seconds=self.first_look, every_seconds=self.look_every)


@Parameter(name="*", group=FILM)
@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is made besides the clips."""

    film: Annotated[
        bool | None, Parameter(negative="--no-film", help="Join the clips. [yes, if they are a storyboard's]")
    ] = None
    cutting: Cutting = Cutting()
    min_seam: Annotated[
        Share,
        Parameter(
            help="Fail clips whose first or last picture is less like its image, or the next clip, than this "
            "structural similarity, like 0.8. [0]"
        ),
    ] = 0.0
    report: Annotated[
        bool, Parameter(negative="--no-report", help="Write the page that shows the production. [yes]")
    ] = True
    price_per_second: Price = None

    def presentation(self) -> "Output":
        """Return it in the words of `produce`."""
        from prefect_seedance.orchestration.presentation import Output  # noqa: PLC0415 -- loads Prefect

        return Output(
            film=self.film,
            style=self.cutting.style,
            min_seam=self.min_seam,
            report=self.report,
            price_per_second=self.price_per_second,
        )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found to be in order.

    Attributes:
        doubt: What may go wrong all the same; empty if nothing.
    """

    reading: ParsedStoryboard
    plan: Plan
    doubt: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command asks for."""

    storyboard: str
    archive: str
    images_url: str
    wanted: Wanted
    account: Account
    times: Times
    extras: Extras
    callback_url: str = ""
    wait: bool = True

    async def check(self) -> Checked:
        """Read and plan the production, and find what is wrong with it before anything is started.

        Raises:
            StoryboardError: If the storyboard has mistakes.
            SetupError: If the archive is wrong, or local images cannot be fetched from it.
        """
        reading = await self.wanted.read(self.storyboard)
        planned = planning.plan(reading.clips, title=reading.title, name=self.wanted.name)
        store = await survey.opened(self.archive)
        await store.probe()
        known = await survey.recall(store, [clip.fingerprint for clip in planned.distinct])
        missing = [clip for clip in planned.distinct if not known[clip.fingerprint].clip]
        host = ImageHost(
            store=store,
            objects=Objects(survey.opened),
            images_url=self.images_url,
            lifetime_seconds=self.times.images_lifetime,
        )
        doubt = await host.check(image for clip in missing for image in clip.images)
        return Checked(reading=reading, plan=planned, doubt=doubt)

    def run(self, checked: Checked, screen: "Screen") -> Manifest:
        """Make what is missing, and return the account, also of a run that was stopped.

        Raises:
            KeyboardInterrupt: If it was stopped before anything was begun.
            SeedanceError: If there is no account, or callbacks cannot come to the given address.
        """
        from prefect_seedance.cli.flow_run import run  # noqa: PLC0415 -- loads Prefect

        credentials, since = self.account.open(), datetime.now(UTC)
        if not isinstance(credentials, str):
            credentials.callbacks(self.callback_url)  # before a server is started
        manifest = run(
            lambda: self._make(checked.reading, credentials, screen), name=checked.plan.name, screen=screen
        )
        return manifest or asyncio.run(self._left(checked.plan, since=since))

    async def _make(
        self, reading: ParsedStoryboard, credentials: "SeedanceCredentials | str", screen: "Screen"
    ) -> Manifest:
        from prefect_seedance.orchestration.production import produce  # noqa: PLC0415 -- loads Prefect

        return await produce(
            reading,
            archive=self.archive,
            name=self.wanted.name,
            credentials=credentials,
            deadline_seconds=self.times.deadline,
            images_url=self.images_url,
            images_lifetime_seconds=self.times.images_lifetime,
            policy=self.wanted.policy,
            pace=self.times.pace,
            timeout_seconds=self.times.timeout,
            presentation=self.extras.presentation(),
            callback_url=self.callback_url,
            wait=self.wait,
            listener=screen.hear,
        )

    async def _left(self, planned: Plan, *, since: datetime) -> Manifest:
        """Read the account that a stopped run left in the archive."""
        store = await survey.opened(self.archive)
        content = await store.read(production_key(planned.name, "manifest.json"))
        manifest = Manifest.model_validate_json(content) if content else None
        if manifest is None or manifest.began_at < since:
            raise KeyboardInterrupt
        return manifest


def prepare_prefect(*, verbose: bool) -> None:
    """Tell Prefect, before it is loaded, how much to say; what the user has set stays."""
    for name, value in {**_NOT_TRACKED, **(_VERBOSE if verbose else _SILENT)}.items():
        os.environ.setdefault(name, value)
    if not verbose and not sys.warnoptions:
        warnings.simplefilter("ignore")
