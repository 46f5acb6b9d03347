"""Run a prepared production: every clip on its own, then the manifest, then inspections, film and report."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.retry import failure
from prefect_seedance.clips.supervision import supervise
from prefect_seedance.errors import ArchiveError, DeadlineError, SeedanceError
from prefect_seedance.printable import get_logger
from prefect_seedance.production.entries import Bookkeeper, origin
from prefect_seedance.production.expected_times import ExpectedTimes
from prefect_seedance.production.outputs import OutputMaker
from prefect_seedance.production.prepare import Prepared
from prefect_seedance.production.progress import OnProgress, Progress, earlier_words, ignore, notify
from prefect_seedance.production.rescue import Rescuer
from prefect_seedance.production.session import Session
from prefect_seedance.production.slots import RunSlots
from prefect_seedance.production.steps import Steps
from prefect_seedance.production.stored_storyboard import store_storyboard
from prefect_seedance.production.waits import OnWait, Waits, log_wait
from prefect_seedance.report.known_findings import KnownFindings
from prefect_seedance.report.manifest import Entry, Manifest, find_manifest
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.telemetry import CLIPS, mark_failed, span

_log = get_logger(__name__)

_ENDS = ("success", "failed")
"""The last states of a generation, after which the run shows what it makes of them."""


async def run(
    prepared: Prepared,
    *,
    session: Session,
    steps: Steps,
    on_progress: OnProgress = ignore,
    on_wait: OnWait = log_wait,
) -> Manifest:
    """Make the missing clips, and return the manifest.

    A run that is cancelled stores the manifest before it ends.
    """
    settings = prepared.settings
    deadline = asyncio.get_running_loop().time() + settings.waiting.deadline_seconds
    slots = RunSlots(
        slots=session.client.account.slots,
        limit=settings.credentials.generations_in_flight,
        deadline=deadline if settings.waiting.wait else min(session.client.account.slots.soon, deadline),
        statuses=prepared.statuses,
    )
    production = Production(
        prepared=prepared,
        session=session,
        steps=steps,
        on_progress=on_progress,
        deadline=deadline,
        books=Bookkeeper(store=session.store, ledger=session.ledger, settings=settings),
        slots=slots,
        waits=Waits(
            client=session.client, poller=session.poller, slots=slots, deadline=deadline, on_wait=on_wait
        ),
    )
    with span("run", production=prepared.plan.name, model=prepared.plan.models) as note:
        manifest = await production.run()
        note(status=manifest.verdict, clips=len(manifest.clips))
        return manifest


@dataclass(kw_only=True)
class Production:
    """One run of one production.

    Attributes:
        deadline: By the event loop's clock.
        entries: The clips that the run has finished with, by fingerprint.
    """

    prepared: Prepared
    session: Session
    steps: Steps
    on_progress: OnProgress
    deadline: float
    books: Bookkeeper
    slots: RunSlots
    waits: Waits
    began_at: datetime = field(default_factory=partial(datetime.now, UTC))
    entries: dict[str, Entry] = field(default_factory=dict)
    times: ExpectedTimes = field(default_factory=ExpectedTimes)

    async def run(self) -> Manifest:
        """Make the missing clips, and account for them even if the run is cancelled."""
        prepared, plan = self.prepared, self.prepared.plan
        await store_storyboard(prepared.storyboard, self.session.store, production=plan.name)
        inspects = prepared.output.needs_inspection
        self.session.inspector.scans.are_wanted |= inspects
        last = await find_manifest(self.session.store, plan.name) if inspects else None
        async with OutputMaker(
            output=prepared.output,
            settings=prepared.settings,
            steps=self.steps,
            inspector=self.session.inspector,
            fingerprints=[clip.fingerprint for clip in plan.clips],
            known=KnownFindings.of(last),
        ) as outputs:
            self.slots.take_open()
            tasks = [asyncio.create_task(self._finish(clip, outputs)) for clip in plan.distinct]
            former = asyncio.create_task(self._rescue())
            try:
                async with self.waits.watched():
                    with self._listening():
                        await asyncio.gather(*tasks, former)
            finally:
                former.cancel()
                manifest = await supervise(
                    self._conclude(tasks, former), on_cancel=lambda: [task.cancel() for task in tasks]
                )
            return await outputs.make(manifest)

    async def _finish(self, clip: PlannedClip, outputs: OutputMaker) -> None:
        """Make or reuse a clip; a failure does not affect the other clips."""
        archived = self.prepared.archived.get(clip.fingerprint)
        about = {"production": self.prepared.plan.name, "fingerprint": clip.fingerprint, "model": clip.model}
        with span("clip", **about) as note:
            reused = archived and Entry.of(clip, ClipStatus.reused, archived=archived)
            entry = reused or await self._attempt(clip)
            note(status=entry.status, outcome=origin(entry), attempt=entry.attempt)
        self._note(clip, entry)
        if entry.clip and outputs.output.needs_inspection:
            outputs.begin_inspection(entry.clip, clip)

    async def _attempt(self, clip: PlannedClip) -> Entry:
        """Make a clip, or explain why it could not be made."""
        try:
            return await self._make(clip)
        except Exception as error:  # noqa: BLE001 -- becomes the clip's entry
            if not isinstance(error, SeedanceError):
                _log.exception("%s failed unexpectedly", clip.name)
            entry = await self.books.explain(clip, error)
            if entry.cause:
                mark_failed(error)
            return entry

    async def _make(self, clip: PlannedClip) -> Entry:
        self._notify(clip, ClipStatus.queued)
        await self.slots.take(clip)
        try:
            return await self.steps.run_clip(f"make {clip.label}", partial(self._make_in_slot, clip))
        except BaseException:
            self.slots.release(clip.fingerprint)
            raise

    async def _make_in_slot(self, clip: PlannedClip) -> Entry:
        attempt = None
        try:
            attempt = await self._generate(clip)
        finally:
            if attempt is None or attempt.outcome:  # a generation in flight keeps its slot until the run ends
                self.slots.release(clip.fingerprint)
        if attempt.outcome is None:
            billed_seconds = await self.books.billed_seconds(attempt)
            return Entry.of(clip, ClipStatus.in_flight, attempt=attempt, billed_seconds=billed_seconds)
        if attempt.has_failed:
            outcome, account = attempt.outcome, self.session.client.account
            account.learn_failure(outcome.kind, outcome.code, model=attempt.intent.model)
            raise failure(attempt)
        self._notify(clip, ClipStatus.archiving)
        archived = await self.steps.archive(attempt, deadline_seconds=self._seconds_left())
        return Entry.of(
            clip,
            ClipStatus.made,
            attempt=attempt,
            archived=archived,
            billed_seconds=await self.books.billed_seconds(attempt),
            note=await self.books.resubmitted(attempt),
        )

    async def _generate(self, clip: PlannedClip) -> Attempt:
        """Submit a clip, unless that has been done, and wait for its generation."""
        steps, left = self.steps, self._seconds_left
        earlier = self.prepared.statuses.get(clip.fingerprint, ClipStatus.new)
        if clip.fingerprint in self.prepared.bought or earlier in {ClipStatus.new, ClipStatus.submitting}:
            self._notify(clip, ClipStatus.submitting)
        attempt = await steps.submit(clip, deadline_seconds=left())
        self.books.seen[clip.fingerprint] = attempt
        if attempt.is_open:
            self._notify(clip, ClipStatus.in_flight, seconds_left=self.times.seconds_left(attempt))
        attempt = await steps.wait(attempt, deadline_seconds=left())
        while attempt.has_failed and (other := await self.books.open_attempt(clip)):
            attempt = await steps.wait(other, deadline_seconds=left())
        self.times.observe(attempt)
        return attempt

    def _words(self, clip: PlannedClip, status: ClipStatus) -> str:
        """Return what progress says instead of a status that an earlier run left; else an empty string."""
        if clip.fingerprint in self.prepared.bought:
            return ""
        return earlier_words(status, found=self.prepared.statuses.get(clip.fingerprint))

    async def _rescue(self) -> Sequence[PaidClip]:
        """Archive clips that were paid for before the storyboard was edited."""
        plan = self.prepared.plan
        rescuer = Rescuer(
            session=self.session,
            steps=self.steps,
            deadline=self.deadline,
            archives=self.prepared.output.rescue,
        )
        try:
            return await rescuer.rescue_production(
                plan.name, without={clip.fingerprint for clip in plan.distinct}
            )
        except Exception:  # noqa: BLE001 -- the account of this storyboard's clips does not depend on it
            _log.exception("Earlier clips of %s cannot be read; the run continues without them", plan.name)
            return ()

    async def _conclude(
        self, tasks: Sequence[asyncio.Task[None]], former: asyncio.Task[Sequence[PaidClip]]
    ) -> Manifest:
        """Account for every clip, and store the manifest.

        A cancelled `gather` returns with its first cancelled task; the others may still record an answer.
        """
        try:
            await asyncio.wait([*tasks, former])
        finally:
            self.slots.release_all()
        plan = self.prepared.plan
        stopped = DeadlineError("The run was stopped before the clip was finished; run again to continue")
        left = [clip for clip in plan.distinct if clip.fingerprint not in self.entries]
        explained = await asyncio.gather(*[self.books.explain(clip, stopped) for clip in left])
        for clip, entry in zip(left, explained, strict=True):
            self._note(clip, entry)
        manifest = Manifest(
            production=plan.name,
            title=plan.title,
            model=plan.models,
            archive=self.session.store.url,
            began_at=self.began_at,
            ended_at=datetime.now(UTC),
            flow_run=self.prepared.settings.flow_run,
            clips=tuple(self.entries[clip.fingerprint].at(clip) for clip in plan.clips),
            announcements=self.session.client.account.announced(clip.model for clip in plan.clips),
            former=() if former.cancelled() else tuple(former.result()),
        )
        manifest = self.prepared.priced(manifest)
        try:
            await self.steps.record(manifest)
        except ArchiveError:  # a manifest that cannot be stored is still returned and shown
            _log.exception("Could not store the manifest of %s; the next run stores it", plan.name)
        await self.session.sweep(manifest)
        return manifest

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Report the states of this production's generations as progress."""
        clips = {clip.fingerprint: clip for clip in self.prepared.plan.distinct}

        def changed(attempt: Attempt, generation: Generation) -> None:
            clip = clips.get(attempt.intent.fingerprint)
            if clip and generation.state not in _ENDS:
                left = self.times.seconds_left(attempt)
                self._notify(clip, ClipStatus.in_flight, detail=generation.state, seconds_left=left)

        listeners = self.session.poller.listeners
        listeners.add(changed)
        try:
            yield
        finally:
            listeners.discard(changed)

    def _note(self, clip: PlannedClip, entry: Entry) -> None:
        self.entries[clip.fingerprint] = entry
        CLIPS.record(status=entry.status)
        self._notify(clip, entry.status, is_final=True)

    def _notify(
        self,
        clip: PlannedClip,
        status: ClipStatus,
        *,
        detail: str = "",
        is_final: bool = False,
        seconds_left: float | None = None,
    ) -> None:
        self.waits.statuses[clip.fingerprint] = status
        is_left = is_final and status is ClipStatus.in_flight
        words = detail or ("" if is_left else self._words(clip, status))
        notify(self.on_progress, Progress(clip, status, words, is_final, seconds_left))

    def _seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()
