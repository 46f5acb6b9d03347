"""Check what can be checked about a production for free and without writing anything."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.proxies import check_proxies
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.history import ClipHistory, clip_histories
from prefect_seedance.clips.hosting_check import check_again
from prefect_seedance.clips.image_hosting import ImageHost
from prefect_seedance.doors import account
from prefect_seedance.errors import (
    ArchiveError,
    AuthenticationError,
    RedirectedError,
    SeedanceError,
    SetupError,
)
from prefect_seedance.options import Loading
from prefect_seedance.production.faults import Faults
from prefect_seedance.production.limits import other_owner, over_budget, seconds_to_buy, unfetched_urls
from prefect_seedance.production.session import OpenArchive, open_archive
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import probe_temporary_folder
from prefect_seedance.storyboard.loader import DOWNLOAD_SECONDS, Source, load_storyboard
from prefect_seedance.storyboard.parser import ParsedStoryboard
from prefect_seedance.storyboard.plan import Plan, plan
from prefect_seedance.storyboard.source_file import SourceFile

_KEY_SECONDS: Final = 10.0
"""Bound of checking the key."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The state of a production before a run.

    Attributes:
        known: What the archive knows of the clips, by fingerprint.
    """

    storyboard: ParsedStoryboard
    plan: Plan
    settings: RunSettings
    store: Store
    known: Mapping[str, ClipHistory]
    open_archive: OpenArchive

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that a run would buy now."""
        return seconds_to_buy(self.plan, self.known, self.settings.retry)

    @property
    def over_budget(self) -> str | None:
        """Why a run may not buy so much; None if it may."""
        return over_budget(self.billed_seconds, max_seconds=self.settings.max_seconds)

    @property
    def archived(self) -> dict[str, Clip]:
        """The clips that the archive has, by fingerprint."""
        return {fingerprint: history.clip for fingerprint, history in self.known.items() if history.clip}

    @property
    def files(self) -> list[SourceFile]:
        """The images, videos and audio files of the clips that the archive lacks."""
        archived = self.archived
        missing = (clip for clip in self.plan.distinct if clip.fingerprint not in archived)
        return [file for clip in missing for file in clip.sources]

    def host(self) -> ImageHost:
        """Return the host that would make local files available to the API."""
        return ImageHost(
            store=self.store,
            objects=Objects(self.open_archive),
            images_url=self.settings.hosting.images_url,
            lifetime_seconds=self.settings.hosting.images_lifetime_seconds,
        )

    async def refusals(self, *, is_named: bool, has_key: bool = True) -> list[str]:
        """Return why a run would refuse the production: the archive, its folder, its size, or the key.

        Args:
            is_named: Whether the caller chose the name, and so the folder.
            has_key: Whether the key can be checked.
        """
        found = [
            await self._unusable_folder(),
            await other_owner(self.store, self.plan, is_named=is_named),
            self.over_budget,
            await _refused_key(self.settings.credentials) if self.billed_seconds and has_key else None,
        ]
        return [refusal for refusal in found if refusal]

    async def _unusable_folder(self) -> str | None:
        try:
            if len(self.archived) < len(self.plan.distinct):
                await self.store.check_folder()
        except SetupError as error:
            return str(error)
        return None

    async def check_fetched_again(self) -> None:
        """Check the URLs of files that the API could not fetch, of clips that a run would buy again.

        Raises:
            SetupError: If one of them still leads to nothing.
        """
        urls = unfetched_urls(self.plan, self.known, self.settings.retry)
        await check_again(urls, self.settings.credentials.host_policy)


async def survey(
    storyboard: Source | ParsedStoryboard,
    settings: RunSettings,
    *,
    name: str = "",
    loading: Loading = Loading(),
    model: str = "",
    checks_machine: bool = True,
    all_attempts: bool = False,
    open_archive: OpenArchive = open_archive,
) -> Survey:
    """Load and plan a production, and check account, decoders, temporary folder and archive.

    Args:
        storyboard: As `load_storyboard` accepts it.
        settings: Of the run.
        name: Of the production.
        loading: How to load the storyboard.
        model: Id of the model of clips that choose none. Default: the account's.
        checks_machine: Whether to check that this machine can verify videos.
        all_attempts: Whether to read the attempts at archived clips, too.
        open_archive: Opens the archive.

    Raises:
        StoryboardError: If the storyboard has mistakes.
        SetupError: If the set-up has.
    """
    credentials, faults = settings.credentials, Faults()
    with faults.collected():
        check_proxies(credentials.base_url)
    with faults.collected():
        credentials.callbacks(settings.waiting.callback_url)
    if checks_machine:
        await check_machine(faults)
    parsed, store = await open_both(
        storyboard,
        settings.archive,
        faults,
        model=model or credentials.model,
        loading=loading,
        policy=credentials.host_policy,
        seconds=settings.waiting.deadline_seconds,
        open_archive=open_archive,
    )
    planned = plan(parsed.clips, title=parsed.title, name=name, model=model or credentials.model)
    planned = await with_former_fingerprints(planned, store)
    known = await _histories(store, planned, skip_archived=not all_attempts)
    return Survey(
        storyboard=parsed,
        plan=planned,
        settings=settings,
        store=store,
        known=known,
        open_archive=open_archive,
    )


async def check_machine(faults: Faults) -> None:
    """Check that this machine can verify videos and write temporary files."""
    from prefect_seedance.video.decoders import check_decoders  # noqa: PLC0415 -- loads FFmpeg

    with faults.collected():
        check_decoders()
    with faults.collected():
        await asyncio.to_thread(probe_temporary_folder)


async def open_both(
    storyboard: Source | ParsedStoryboard,
    archive: str | StoredArchive,
    faults: Faults,
    *,
    loading: Loading,
    model: str = DEFAULT_MODEL,
    policy: HostPolicy = PUBLIC_HOSTS,
    seconds: float = DOWNLOAD_SECONDS,
    open_archive: OpenArchive = open_archive,
) -> tuple[ParsedStoryboard, Store]:
    """Load the storyboard, open the archive, and raise all mistakes together.

    Nothing is stored, so that a wrong command line leaves no folder.
    """
    with faults.collected():
        store = await open_archive(archive)
    with faults.collected():
        parsed = await load_storyboard(
            storyboard,
            model=model,
            defaults=loading.defaults,
            allow_outside=loading.allow_outside,
            policy=policy,
            timeout_seconds=min(DOWNLOAD_SECONDS, seconds),
            opener=open_archive,
        )
    faults.raise_found()
    return parsed, store


async def _refused_key(credentials: Credentials) -> str | None:
    """Return why the API refuses the key or the base URL, which a free request shows; None if it does not."""
    async with credentials.get_client(timeout_seconds=_KEY_SECONDS) as client:
        try:
            await client.balance(seconds=0)
        except AuthenticationError as error:
            return f"{error} ({account('api_key')}). Nothing was spent"
        except RedirectedError as error:
            return f"{error}. Nothing was spent"
        except SeedanceError:
            return None  # submitting shows whether the API works
    return None


async def _histories(store: Store, planned: Plan, *, skip_archived: bool) -> Mapping[str, ClipHistory]:
    """Read what the archive knows of the clips.

    Raises:
        SetupError: If the archive cannot be used.
    """
    fingerprints = [clip.fingerprint for clip in planned.distinct]
    try:
        return await clip_histories(store, fingerprints, skip_archived=skip_archived)
    except ArchiveError as error:
        raise store.unusable(str(error)) from None
