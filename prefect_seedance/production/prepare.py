"""Check everything about a production that can be checked for free."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NoReturn

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.hosting_check import check_hosting
from prefect_seedance.errors import BudgetError, SetupError
from prefect_seedance.options import Loading, Output
from prefect_seedance.production.faults import Faults
from prefect_seedance.production.limits import cost_of, price_of
from prefect_seedance.production.session import OpenArchive, open_archive
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.production.survey import Survey, check_machine, open_both, survey
from prefect_seedance.report.manifest import Manifest, find_manifest
from prefect_seedance.storyboard.loader import Source
from prefect_seedance.storyboard.parser import ParsedStoryboard
from prefect_seedance.storyboard.plan import Plan
from prefect_seedance.storyboard.schema import Storyboard


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
        price: Of one second of any clip, of this run or else of the last one; None if it is unknown.
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
    price: Decimal | None = None

    def priced(self, manifest: Manifest) -> Manifest:
        """Add to a manifest the price, and what its run has cost at this price or at those of the models."""
        seconds = {entry.fingerprint: entry.billed_seconds for entry in reversed(manifest.clips)}
        billed = [(clip, seconds[clip.fingerprint]) for clip in self.plan.distinct]
        cost = cost_of(
            [(clip, each) for clip, each in billed if each],
            price=self.price,
            provider=self.settings.credentials.provider,
        )
        return manifest.model_copy(update={"price_per_second": self.price, "cost": cost})


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
            verify videos; or its folder is another production's.
        BudgetError: If the run would buy more than it may.
    """
    found = await survey(storyboard, settings, name=name, loading=loading, open_archive=open_archive)
    if refusals := await found.refusals(is_named=bool(name)):
        refused = BudgetError if found.over_budget else SetupError
        raise refused("\n".join(refusals))
    if len(found.archived) < len(found.plan.distinct):
        await found.store.probe()
    warnings = (found.storyboard.note, *await _check_files(found))
    return Prepared(
        storyboard=found.storyboard,
        plan=found.plan,
        archived=found.archived,
        statuses={fingerprint: history.status for fingerprint, history in found.known.items()},
        bought=frozenset(key for key, history in found.known.items() if history.is_bought(settings.retry)),
        settings=replace(settings, production=found.plan.name, run_id=secrets.token_hex(8)),
        output=_decided(output, found.storyboard),
        price=await _price(found, output),
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
    await check_machine(faults)
    await open_both(storyboard, archive, faults, loading=loading, open_archive=open_archive)
    raise error


async def _check_files(found: Survey) -> tuple[str, str]:
    """Check that the API can fetch the files of the clips that the archive lacks, and return warnings."""
    host, files = found.host(), found.files
    await found.check_fetched_again()
    return await host.check(files), await check_hosting(host, files, found.settings.credentials.host_policy)


async def _price(found: Survey, output: Output) -> Decimal | None:
    """Return the price of the run, or else that of the production's last run."""
    price = price_of(output, found.settings.credentials)
    if price is not None:
        return price
    last = await find_manifest(found.store, found.plan.name)
    return last.price_per_second if last else None


def _decided(output: Output, parsed: ParsedStoryboard) -> Output:
    """Join a film by default where the clips are one: those of a storyboard, not those of a list."""
    if output.film is not None:
        return output
    return output.model_copy(update={"film": isinstance(parsed.storyboard, Storyboard)})
