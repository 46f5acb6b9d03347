"""Check everything about a production that can be checked for free."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.proxies import check_proxies
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.hosting_check import check_again, check_hosting
from prefect_seedance.clips.image_hosting import ImageHost
from prefect_seedance.doors import account
from prefect_seedance.errors import (
    ArchiveError,
    AuthenticationError,
    RedirectedError,
    SeedanceError,
    SetupError,
)
from prefect_seedance.options import Loading, Output
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
from prefect_seedance.storyboard.schema import Storyboard
from prefect_seedance.video.decoders import check_decoders

_KEY_SECONDS: Final = 10.0
"""Bound of checking the key."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A production that was found to be in order, ready to run.

    Attributes:
        storyboard: As it was parsed.
        archived: The clips that the archive has, by fingerprint.
        statuses: Of all clips, as the ledger shows them, by fingerprint.
        bought: The clips that the run would buy now, by fingerprint.
        settings: With the name of the production and the id of the run.
        output: With every open choice made.
        warning: Doubts that do not stop the run, one a line; empty if there are none.
    """

    storyboard: ParsedStoryboard
    plan: Plan
    archived: dict[str, Clip]
    settings: RunSettings
    output: Output
    warning: str = ""
    statuses: Mapping[str, ClipStatus] = field(default_factory=dict)
    bought: frozenset[str] = frozenset()


async def prepare(
    storyboard: Source | ParsedStoryboard,
    settings: RunSettings,
    *,
    name: str = "",
    loading: Loading = Loading(),
    output: Output = Output(),
    open_archive: OpenArchive = open_archive,
) -> Prepared:
    """Load and plan a production, and check account, decoders, temporary folder, archive and images.

    It spends nothing. It stores a probe, which it deletes, and one image if local images have a public URL.

    Raises:
        StoryboardError: If the storyboard has mistakes.
        SetupError: If the archive, the callbacks or the images' hosting are wrong, or this machine cannot
            verify videos; or the run would buy more than it may, or its folder is another production's.
    """
    credentials, faults = settings.credentials, Faults()
    with faults.collected():
        check_proxies(credentials.base_url)
    with faults.collected():
        credentials.callbacks(settings.waiting.callback_url)
    parsed, store = await _open(
        storyboard,
        settings.archive,
        faults,
        model=credentials.model,
        loading=loading,
        policy=credentials.host_policy,
        seconds=settings.waiting.deadline_seconds,
        open_archive=open_archive,
    )
    planned = plan(parsed.clips, title=parsed.title, name=name, model=credentials.model)
    planned = await with_former_fingerprints(planned, store)
    known = await _histories(store, planned)
    await _check_purchase(planned, known, settings, store=store, is_named=bool(name))
    archived = {fingerprint: history.clip for fingerprint, history in known.items() if history.clip}
    if len(archived) < len(planned.distinct):
        await store.probe()
    warnings = (parsed.note, *await _check_images(planned, known, settings, store, open_archive))
    return Prepared(
        storyboard=parsed,
        plan=planned,
        archived=archived,
        statuses={fingerprint: history.status for fingerprint, history in known.items()},
        bought=frozenset(key for key, history in known.items() if history.is_bought(settings.retry)),
        settings=replace(settings, production=planned.name, run_id=secrets.token_hex(8)),
        output=_decided(output, parsed),
        warning="\n".join(filter(None, warnings)),
    )


async def check_without_account(
    error: SetupError,
    storyboard: Source | ParsedStoryboard,
    archive: str | StoredArchive,
    *,
    loading: Loading,
    open_archive: OpenArchive = open_archive,
) -> NoReturn:
    """Raise the error of missing credentials, together with the mistakes that show without them."""
    faults = Faults()
    with faults.collected():
        raise error
    await _open(storyboard, archive, faults, loading=loading, open_archive=open_archive)
    raise error


async def _open(
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
    """Load the storyboard, check this machine, open the archive, and raise all mistakes together.

    Nothing is written, so that a wrong command line leaves no folder.
    """
    with faults.collected():
        check_decoders()
    with faults.collected():
        await asyncio.to_thread(probe_temporary_folder)
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


async def _check_purchase(
    planned: Plan,
    known: Mapping[str, ClipHistory],
    settings: RunSettings,
    *,
    store: Store,
    is_named: bool,
) -> None:
    """Check the title's folder, the budget, and the key if anything is to be bought.

    Raises:
        SetupError: With all reasons against the run.
    """
    billed_seconds = seconds_to_buy(planned, known, settings.retry)
    refusals = (
        await other_owner(store, planned, is_named=is_named),
        over_budget(billed_seconds, max_seconds=settings.max_seconds),
        await _refused_key(settings.credentials) if billed_seconds else None,
    )
    if any(refusals):
        raise SetupError("\n".join(filter(None, refusals)))


async def _check_images(
    planned: Plan,
    known: Mapping[str, ClipHistory],
    settings: RunSettings,
    store: Store,
    open_archive: OpenArchive,
) -> tuple[str, str]:
    """Check that the API can fetch the images of the clips that the archive lacks, and return warnings."""
    host = ImageHost(
        store=store,
        objects=Objects(open_archive),
        images_url=settings.hosting.images_url,
        lifetime_seconds=settings.hosting.images_lifetime_seconds,
    )
    policy = settings.credentials.host_policy
    images = [
        image for clip in planned.distinct if not known[clip.fingerprint].clip for image in clip.sources
    ]
    await check_again(unfetched_urls(planned, known, settings.retry), policy)
    return await host.check(images), await check_hosting(host, images, policy)


async def _histories(store: Store, planned: Plan) -> Mapping[str, ClipHistory]:
    """Read what the archive knows of the clips.

    Raises:
        SetupError: If the archive cannot be used.
    """
    fingerprints = [clip.fingerprint for clip in planned.distinct]
    try:
        return await clip_histories(store, fingerprints, skip_archived=True)
    except ArchiveError:
        await store.probe()  # its error names the remedy
        raise


def _decided(output: Output, parsed: ParsedStoryboard) -> Output:
    """Join a film by default where the clips are one: those of a storyboard, not those of a list."""
    if output.film is not None:
        return output
    return output.model_copy(update={"film": isinstance(parsed.storyboard, Storyboard)})
