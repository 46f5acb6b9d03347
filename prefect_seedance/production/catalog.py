"""Find out which storyboards of a catalogue need a run, and what the runs would buy."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from pydantic import ValidationError

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.history import clip_histories
from prefect_seedance.errors import SeedanceError
from prefect_seedance.options import Loading, RetryPolicy, options_from
from prefect_seedance.printable import get_logger
from prefect_seedance.production.limits import to_buy
from prefect_seedance.production.session import OpenArchive
from prefect_seedance.report.manifest import Manifest, find_manifest
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.catalog import CatalogItem
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import Plan, plan

_AT_ONCE: Final = 4
"""Storyboards that are loaded at once, with their images in memory."""

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All clips of an archive, from one listing.

    Attributes:
        known: Fingerprints of the clips that were ever submitted.
        archived: Those that are archived.
    """

    known: frozenset[str]
    archived: frozenset[str]

    @classmethod
    async def of(cls, store: Store) -> Self:
        """List the clips of an archive.

        Raises:
            ArchiveError: If it cannot be listed.
        """
        keys = [key.split("/") for key in await store.keys("clips/")]
        return cls(
            known=frozenset(parts[1] for parts in keys),
            archived=frozenset(parts[1] for parts in keys if parts[-1] == "clip.json"),
        )


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A storyboard, and the work that it needs.

    Attributes:
        item: The storyboard.
        parameters: Of its run.
        plan: None if it has mistakes.
        manifest: Of the last run of its production; None if there is none.
        is_complete: Whether it needs no run.
        archived: How many of its clips are archived.
        buys: The seconds of each clip that its run would buy, by fingerprint.
        problem: Its mistakes; empty if it has none.
    """

    item: CatalogItem
    parameters: Mapping[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    manifest: Manifest | None = None
    is_complete: bool = False
    archived: int = 0
    buys: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Surveyor:
    """Surveys the storyboards of a catalogue. It spends nothing and writes nothing.

    Attributes:
        parameters: Of the runs of all storyboards, which those of a single one replace.
        typed: Checks the parameters of one run, which may be text from a file, and returns them as values.
    """

    store: Store
    credentials: Credentials
    open_archive: OpenArchive
    parameters: Mapping[str, Any]
    typed: Callable[[Mapping[str, Any]], Mapping[str, Any]]

    async def survey(self, items: Sequence[CatalogItem]) -> Sequence[Surveyed]:
        """Survey all storyboards; the mistakes of one do not affect the others.

        Raises:
            ArchiveError: If the archive cannot be listed.
        """
        listing, at_once = await Listing.of(self.store), asyncio.Semaphore(_AT_ONCE)

        async def survey(item: CatalogItem) -> Surveyed:
            async with at_once:
                return await self._checked(item, listing)

        return _distinct(await asyncio.gather(*map(survey, items)))

    async def _checked(self, item: CatalogItem, listing: Listing) -> Surveyed:
        try:
            return await self._survey(item, listing)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            problem = f"parameter {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except Exception as error:  # noqa: BLE001 -- becomes the reason of this storyboard alone
            if not isinstance(error, SeedanceError):
                _log.exception("%s could not be surveyed", item.shown)
            problem = str(error)
        return Surveyed(item=item, problem=problem)

    async def _survey(self, item: CatalogItem, listing: Listing) -> Surveyed:
        parameters = self.typed({**self.parameters, **item.parameters})
        planned = await self._plan(item, parameters)
        missing = [clip for clip in planned.distinct if clip.fingerprint not in listing.archived]
        histories = await clip_histories(
            self.store, [clip.fingerprint for clip in missing if clip.fingerprint in listing.known]
        )
        policy = options_from(parameters, RetryPolicy)
        manifest = await find_manifest(self.store, planned.name)
        return Surveyed(
            item=item,
            parameters=parameters,
            plan=planned,
            manifest=manifest,
            is_complete=not missing and _is_complete(planned, manifest, film=parameters.get("film", True)),
            archived=sum(clip.fingerprint in listing.archived for clip in planned.clips),
            buys={
                clip.fingerprint: clip.settings.duration
                for clip, _ in to_buy(planned, histories, policy)
                if clip.fingerprint not in listing.archived
            },
        )

    async def _plan(self, item: CatalogItem, parameters: Mapping[str, Any]) -> Plan:
        loading, model = options_from(parameters, Loading), self.credentials.model
        parsed = await load_storyboard(
            item.storyboard,
            model=model,
            defaults=loading.defaults,
            allow_outside=loading.allow_outside,
            policy=self.credentials.host_policy,
            opener=self.open_archive,
        )
        name = str(parameters.get("name", ""))
        planned = plan(parsed.clips, title=parsed.title, name=name, model=model)
        return await with_former_fingerprints(planned, self.store)


def _is_complete(planned: Plan, manifest: Manifest | None, *, film: object) -> bool:
    """Return whether the last run was of these clips, and left nothing to do."""
    if manifest is None or manifest.verdict is not Verdict.complete:
        return False
    is_same = [entry.fingerprint for entry in manifest.clips] == [clip.fingerprint for clip in planned.clips]
    return is_same and bool(manifest.film or not film)


def _distinct(surveyed: Sequence[Surveyed]) -> Sequence[Surveyed]:
    """Refuse storyboards whose production has the name of an earlier one's, which it would replace."""
    first: dict[str, Surveyed] = {}
    checked = []
    for each in surveyed:
        owner = first.setdefault(each.plan.name, each) if each.plan else each
        if owner is not each and each.plan:
            problem = (
                f"its production has the name {each.plan.name}, as has that of {owner.item.shown}; "
                "give it another title, or another name in the column name of a CSV file"
            )
            checked.append(replace(each, problem=problem))
        else:
            checked.append(each)
    return checked
