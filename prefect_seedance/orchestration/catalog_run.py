"""Run a deployment for each storyboard of a catalogue, and account for the runs."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect.client.schemas.objects import FlowRun

from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.child_runs import ChildRuns, Ended
from prefect_seedance.orchestration.flow_runs import page_of
from prefect_seedance.printable import get_logger
from prefect_seedance.production.catalog import Surveyed
from prefect_seedance.report.catalog import CatalogEntry, CatalogManifest, CatalogStatus
from prefect_seedance.report.manifest import Manifest, find_manifest
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import key_name

_STATUSES: Mapping[Verdict, CatalogStatus] = {
    Verdict.complete: CatalogStatus.made,
    Verdict.in_flight: CatalogStatus.in_flight,
    Verdict.unresolved: CatalogStatus.unresolved,
}

_NAMES: Mapping[str, CatalogStatus] = {
    "Completed": CatalogStatus.made,
    "InFlight": CatalogStatus.in_flight,
}
"""By the name of a run's final state. All others are failures."""

_log = get_logger(__name__)


@dataclass(kw_only=True)
class CatalogRun:
    """One run of a catalogue.

    Attributes:
        deadline: By the event loop's clock.
        entries: The storyboards that have ended; two may have one source, with other parameters.
        started: The last run of each storyboard that has one, as fields of its entry.
    """

    store: Store
    runs: ChildRuns
    deadline: float
    is_dry: bool
    entries: dict[int, CatalogEntry] = field(default_factory=dict)
    started: dict[int, Mapping[str, str | None]] = field(default_factory=dict)

    async def run(self, surveyed: Sequence[Surveyed], *, at_a_time: int) -> None:
        """Run the storyboards that are not complete, in order, until the deadline."""
        left = iter([each for each in surveyed if not each.is_complete and not each.problem])

        async def work() -> None:
            for each in left:  # shared by all workers
                self.entries[id(each)] = await self._make(each)

        if not self.is_dry:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self.deadline), asyncio.TaskGroup() as group:
                    for _ in range(at_a_time):
                        group.create_task(work())

    def manifest(
        self, surveyed: Sequence[Surveyed], *, title: str, began_at: datetime, refusal: str | None
    ) -> CatalogManifest:
        """Return the manifest, whether or not all runs have ended."""
        return CatalogManifest(
            catalog=key_name(title),
            title=title,
            archive=self.store.url,
            began_at=began_at,
            ended_at=datetime.now(UTC),
            entries=tuple(map(self.entry, surveyed)),
            refusal=refusal,
        )

    def entry(self, surveyed: Surveyed) -> CatalogEntry:
        """Return the entry of a storyboard, whether or not its run has ended."""
        if found := self.entries.get(id(surveyed)):
            return found
        if surveyed.problem:
            return _entry(surveyed, CatalogStatus.invalid, reason=surveyed.problem)
        if surveyed.is_complete:
            return _entry(surveyed, CatalogStatus.complete)
        seconds = sum(surveyed.buys.values())
        reason = f"Its run would buy {seconds:,} s of video" if self.is_dry else "Run the catalogue again"
        return self._with_run(surveyed, _entry(surveyed, CatalogStatus.not_run, reason=reason))

    def _with_run(self, surveyed: Surveyed, entry: CatalogEntry) -> CatalogEntry:
        return entry.model_copy(update=dict(self.started.get(id(surveyed), {})))

    async def _make(self, surveyed: Surveyed) -> CatalogEntry:
        """Run the deployment for one storyboard; whatever happens becomes its entry."""
        plan, item = surveyed.plan, surveyed.item
        title = plan.title if plan else item.shown

        def started(run: FlowRun) -> None:
            self.started[id(surveyed)] = {"flow_run_id": str(run.id), "flow_run_url": page_of(run.id)}

        try:
            ended = await self.runs.run(item.storyboard, surveyed.parameters, title=title, started=started)
        except Exception as error:  # noqa: BLE001 -- one storyboard does not stop the others
            if not isinstance(error, SetupError):
                _log.exception("The run of %s failed unexpectedly", item.shown)
            return self._with_run(surveyed, _entry(surveyed, CatalogStatus.failed, reason=str(error)))
        manifest = await find_manifest(self.store, plan.name) if plan else None
        return _ended_entry(surveyed, ended, manifest)


def _ended_entry(surveyed: Surveyed, ended: Ended, manifest: Manifest | None) -> CatalogEntry:
    """Return the entry of a storyboard whose run has ended.

    Args:
        surveyed: The storyboard, with the manifest of an earlier run.
        ended: The run.
        manifest: What its production has now. The run stored none if it is missing or still the earlier one.
    """
    run = {"flow_run_id": str(ended.flow_run_id), "flow_run_url": ended.url}
    by_state = _NAMES.get(ended.state, CatalogStatus.failed)
    if manifest is None or manifest == surveyed.manifest:
        reason = None if by_state is CatalogStatus.made else ended.message
        return _entry(surveyed, by_state, reason=reason).model_copy(update=run)
    status = _STATUSES.get(manifest.verdict, CatalogStatus.failed)
    if status is CatalogStatus.made:
        status = by_state  # for example, it was cancelled while it made the film
    figures = {
        "archived": sum(entry.clip is not None for entry in manifest.clips),
        "billed_seconds": manifest.billed_seconds,
    }
    reason = None if status is CatalogStatus.made else ended.message
    return _entry(surveyed, status, reason=reason).model_copy(update={**run, **figures})


def _entry(surveyed: Surveyed, status: CatalogStatus, *, reason: str | None = None) -> CatalogEntry:
    plan = surveyed.plan
    return CatalogEntry(
        storyboard=surveyed.item.shown,
        status=status,
        title=plan.title if plan else "",
        production=plan.name if plan else "",
        clips=len(plan.clips) if plan else 0,
        archived=surveyed.archived,
        reason=reason,
    )
