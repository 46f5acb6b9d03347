"""Make a production complete: what is missing is submitted, waited for and archived."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from prefect_seedance.api.client import REQUEST_TIMEOUT_SECONDS
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips import submit as submission
from prefect_seedance.clips.archive import find_clip
from prefect_seedance.clips.image_hosting import LIFETIME_SECONDS
from prefect_seedance.clips.ledger import Attempt, Result, clip_prefix
from prefect_seedance.clips.poll import Polling
from prefect_seedance.clips.submit import RetryPolicy
from prefect_seedance.clips.unresolved import unresolved_message
from prefect_seedance.errors import ArchiveError, DeadlineError, SeedanceError, SubmissionUnresolvedError
from prefect_seedance.film.seams import ClipInspection
from prefect_seedance.orchestration import reporting
from prefect_seedance.orchestration.blocks import ClipArchive, SeedanceCredentials, open_archive
from prefect_seedance.orchestration.cancellation import in_good_order
from prefect_seedance.orchestration.presentation import Output, looked_at, present
from prefect_seedance.orchestration.session import RunSettings, Session, shared
from prefect_seedance.orchestration.tasks import (
    DEADLINE_SECONDS,
    archive_clip,
    flow_run,
    submit_clip,
    wait_for_clip,
)
from prefect_seedance.report.manifest import Entry, Manifest, Standing, production_key, record, standing_of
from prefect_seedance.storyboard.loader import Source, load_storyboard
from prefect_seedance.storyboard.parser import ParsedStoryboard
from prefect_seedance.storyboard.plan import Plan, PlannedClip, plan

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """Where one clip is on its way.

    Attributes:
        stage: What is being done, or what came of it.
        is_final: Whether nothing more happens to it in this run.
    """

    clip: PlannedClip
    stage: str
    is_final: bool = False


Listener = Callable[[Progress], None]
"""Is told of every step that a clip takes."""


async def produce(
    storyboard: Source | ParsedStoryboard,
    *,
    archive: ClipArchive | str = "",
    name: str = "",
    prompt: str = "",
    credentials: SeedanceCredentials | str = "",
    deadline_seconds: float = DEADLINE_SECONDS,
    images_url: str = "",
    images_lifetime_seconds: float = LIFETIME_SECONDS,
    allow_outside: bool = False,
    policy: RetryPolicy = RetryPolicy(),
    pace: Polling = Polling(),
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    presentation: Output = Output(),
    callback_url: str = "",
    wait: bool = True,
    listener: Listener = lambda _: None,
) -> Manifest:
    """Make all clips of a storyboard that the archive lacks, and give an account.

    The same call serves the first run, the retry after a crash, the run after an edit and the
    scheduled run: clips that exist are reused, generations under way are waited for, and only what is
    missing is bought. A clip that fails does not stop the others.

    Call it within a flow, so that its tasks are seen together. In a sync flow call
    ``asyncio.run(produce(...))``.

    Args:
        storyboard: A file's path or URL, or what stands in one, or was read from it; a list of clips too.
        archive: Where clips and ledger live: a folder's path, ``s3://``, ``gs://``, ``az://``, a block, or
            the name of a stored one after ``block:``; by default the environment's ``SEEDANCE_ARCHIVE``.
        name: Names the production; by default its title does.
        prompt: What happens between the images, if the storyboard is a folder of them.
        credentials: The account, or the name of a stored credentials block; by default the
            environment's ``SEEDANCE_API_KEY``.
        deadline_seconds: How long to wait in all. What is in flight then goes on, and the next run
            takes it in.
        images_url: Where the archive's ``images`` folder can be fetched, for local images in an
            archive that cannot sign URLs.
        images_lifetime_seconds: How long the URLs of local images are good, at most 7 days, in an archive
            that can: let them outlive the API's queue.
        allow_outside: Permit images outside the storyboard's folder, by absolute path.
        policy: Which failed clips to pay for again.
        pace: How often to look.
        timeout_seconds: Bound of one request.
        presentation: What to make besides the clips.
        callback_url: The public address of a receiver, which the API shall tell when a generation has
            ended, as in docs/callbacks.md.
        wait: Whether to wait for what is in flight; if not, it goes on, and a later run archives it.
        listener: Is told of every step that a clip takes.

    Returns:
        What became of every clip.

    Raises:
        StoryboardError: If the storyboard has mistakes; nothing was spent.
        SetupError: If the credentials, the archive, the images' hosting or the callbacks are wrong;
            nothing was spent.
    """
    account = await SeedanceCredentials.find(credentials)
    account.callbacks(callback_url)
    reading = await load_storyboard(
        storyboard, model=account.model, prompt=prompt, allow_outside=allow_outside, opener=open_archive
    )
    planned = plan(reading.clips, title=reading.title, name=name, model=account.model)
    order = RunSettings(
        credentials=account,
        archive=archive,
        production=planned.name,
        images_url=images_url,
        images_lifetime_seconds=images_lifetime_seconds,
        policy=policy,
        pace=pace,
        timeout_seconds=timeout_seconds,
        callback_url=callback_url,
        wait=wait,
        continued_by=() if wait else reporting.continuation(),
    )
    deadline = asyncio.get_running_loop().time() + deadline_seconds
    async with shared(order) as session:
        await session.store.probe()
        production = Production(
            plan=planned,
            order=order,
            session=session,
            deadline=deadline,
            presentation=presentation,
            listener=listener,
        )
        return await in_good_order(production.run(reading))


@dataclass(kw_only=True)
class Production:
    """One run of one production.

    Attributes:
        deadline: By the event loop's clock.
        entries: What became of clips, by fingerprint, as far as it is decided.
        looks: What looking at archived clips has found, by fingerprint.
        seen: Attempts of this run, by fingerprint, for when the ledger cannot be read any more.
        left: The slots of generations that nobody waits for.
    """

    plan: Plan
    order: RunSettings
    session: Session
    deadline: float
    presentation: Output
    listener: Listener
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    entries: dict[str, Entry] = field(default_factory=dict)
    looks: dict[str, ClipInspection] = field(default_factory=dict)
    seen: dict[str, Attempt] = field(default_factory=dict)
    left: list[contextlib.AsyncExitStack] = field(default_factory=list)

    async def run(self, reading: ParsedStoryboard) -> Manifest:
        """Make what is missing, and give an account even of a run that is cancelled."""
        wanted = self.presentation = self.presentation.of(reading.storyboard)
        await self._reuse()
        reused = [clip for clip in self.plan.distinct if clip.fingerprint in self.entries]
        missing = [clip for clip in self.plan.distinct if clip.fingerprint not in self.entries]
        host = self.session.host(self.order)
        if doubt := await host.check(image for clip in missing for image in clip.images):
            reporting.warn(doubt)
        await self._store("storyboard.json", reading.storyboard.model_dump_json(indent=2, exclude_none=True))
        try:
            async with reporting.progress(self.plan, self.entries):
                with self._watched():
                    settling = [self._settle(clip) for clip in missing]
                    await asyncio.gather(*settling, *[self._look(clip) for clip in reused])
        finally:
            for slot in self.left:
                await slot.aclose()
            manifest = await asyncio.shield(self._conclude())
        return await present(manifest, wanted, looks=self.looks, order=self.order, session=self.session)

    async def _reuse(self) -> None:
        """Find the clips that the archive has."""
        store, clips = self.session.store, self.plan.distinct
        archived = await asyncio.gather(*[find_clip(store, clip.fingerprint) for clip in clips])
        for clip, found in zip(clips, archived, strict=True):
            if found:
                self._note(clip, Entry.of(clip, Standing.reused, archived=found))

    async def _settle(self, clip: PlannedClip) -> None:
        """Make a clip or find out why not; nothing that happens to it touches the others."""
        try:
            entry = await self._make(clip)
        except Exception as error:  # noqa: BLE001 -- becomes the clip's entry
            if not isinstance(error, SeedanceError):
                _log.exception("%s met an unexpected error", clip.name)
            entry = await self._explain(clip, error)
        self._note(clip, entry)
        await self._look(clip)

    async def _look(self, clip: PlannedClip) -> None:
        """Look at a clip while others are still being made."""
        archived = self.entries[clip.fingerprint].clip
        if archived and self.presentation.needs_looks:
            look = await looked_at(archived, clip, order=self.order)
            if look:
                self.looks[clip.fingerprint] = look

    async def _make(self, clip: PlannedClip) -> Entry:
        order, left = self.order, self._seconds_left
        self._tell(clip, "queued")
        async with contextlib.AsyncExitStack() as slot:
            await self._enter(slot, clip)
            self._tell(clip, "submitting")
            attempt = await submit_clip(clip, order=order, deadline_seconds=left())
            self.seen[clip.fingerprint] = attempt
            self._tell(clip, "submitted")
            attempt = await wait_for_clip(attempt, order=order, deadline_seconds=left())
            if attempt.outcome is None:
                return self._leave(slot, clip, attempt)
        if attempt.outcome and attempt.outcome.result is not Result.success:
            raise submission.failure(clip.name, attempt.outcome)
        self._tell(clip, "archiving")
        archived = await archive_clip(attempt, order=order, deadline_seconds=left())
        return Entry.of(
            clip,
            Standing.made,
            attempt=attempt,
            archived=archived,
            billed_seconds=self._billed(attempt),
            note=await self._resubmitted(attempt),
        )

    async def _enter(self, slot: contextlib.AsyncExitStack, clip: PlannedClip) -> None:
        """Take one of the places that the account has for generations, until the stack is closed."""
        await slot.enter_async_context(self.session.slots)
        if len(self.left) >= self.order.credentials.generations_in_flight:
            raise DeadlineError(
                f"{clip.name} is not submitted: as many generations as the account permits are in flight. "
                "It cost nothing; run again once some have ended"
            )

    def _leave(self, slot: contextlib.AsyncExitStack, clip: PlannedClip, attempt: Attempt) -> Entry:
        """Account for a generation that goes on without us, and keep its place while others are submitted."""
        is_last = len(self.left) + 1 == self.order.credentials.generations_in_flight
        # Whoever queues for a place shall hear that there is none: the last one is passed on.
        self.left.append(slot if is_last else slot.pop_all())
        return Entry.of(clip, Standing.in_flight, attempt=attempt, billed_seconds=self._billed(attempt))

    async def _resubmitted(self, attempt: Attempt) -> str | None:
        """Say which attempts this run gave up, as it was told to, and paid for anew."""
        if not self.order.policy.resubmit_unresolved:
            return None
        given_up = [
            str(each.intent.number)
            for each in await self.session.ledger.attempts(attempt.intent.fingerprint)
            if each.outcome and each.outcome.resolved_by == self._author
        ]
        if not given_up:
            return None
        return f"attempt {', '.join(given_up)} was unresolved and is submitted anew: it may be billed twice"

    async def _explain(self, clip: PlannedClip, error: BaseException) -> Entry:
        """Give a clip without a video the entry that the ledger bears out."""
        try:
            attempts = await self.session.ledger.attempts(clip.fingerprint)
        except SeedanceError:
            if clip.fingerprint not in self.seen:
                return Entry.of(clip, Standing.unresolved, error=error)
            attempts = (self.seen[clip.fingerprint],)
        last = attempts[-1] if attempts else None
        if last and last.undecided and not isinstance(error, SubmissionUnresolvedError):
            message = unresolved_message(self.session.ledger, last.intent)
            error = SubmissionUnresolvedError(message)
        return Entry.of(
            clip, standing_of(last, error), attempt=last, error=error, billed_seconds=self._billed(last)
        )

    def _billed(self, attempt: Attempt | None) -> int:
        """Count what this run asked for; what was certainly not started costs nothing."""
        if attempt is None or (attempt.outcome and attempt.outcome.result is Result.not_started):
            return 0
        intent = attempt.intent
        ours = intent.asked_at >= self.began_at and intent.asked_by == self._author
        return intent.request.input.duration if ours else 0

    @property
    def _author(self) -> str:
        return submission.author(flow_run())

    async def _conclude(self) -> Manifest:
        """Account for every clip, and leave the account in the archive and in Prefect."""
        stopped = DeadlineError("The run was stopped; run the same again to continue")
        left = [clip for clip in self.plan.distinct if clip.fingerprint not in self.entries]
        explained = await asyncio.gather(*[self._explain(clip, stopped) for clip in left])
        for clip, entry in zip(left, explained, strict=True):
            self._note(clip, entry)
        manifest = Manifest(
            production=self.plan.name,
            title=self.plan.title,
            model=self.plan.model,
            archive=self.session.store.url,
            began_at=self.began_at,
            ended_at=datetime.now(UTC),
            clips=tuple(self.entries[clip.fingerprint].at(clip) for clip in self.plan.clips),
        )
        try:
            await record(manifest, self.session.store)
            await self._sweep()
        except ArchiveError:  # what cannot be stored can still be returned and shown
            _log.exception("The manifest of %s is not in the archive", self.plan.name)
        await reporting.production_ended(manifest)
        return manifest

    async def _sweep(self) -> None:
        clips = [clip_prefix(clip.fingerprint) for clip in self.plan.distinct]
        await self.session.store.sweep([*clips, "images/", production_key(self.plan.name, "")])

    async def _store(self, file: str, content: str) -> None:
        await self.session.store.put(production_key(self.plan.name, file), content.encode())

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Hear of this production's generations while they are waited for."""
        clips = {clip.fingerprint: clip for clip in self.plan.distinct}

        def changed(attempt: Attempt, generation: Generation) -> None:
            if clip := clips.get(attempt.intent.fingerprint):
                self._tell(clip, generation.state)

        watchers = self.session.waiter.watchers
        watchers.add(changed)
        try:
            yield
        finally:
            watchers.discard(changed)

    def _note(self, clip: PlannedClip, entry: Entry) -> None:
        self.entries[clip.fingerprint] = entry
        self._tell(clip, entry.standing, is_final=True)

    def _tell(self, clip: PlannedClip, stage: str, *, is_final: bool = False) -> None:
        try:
            self.listener(Progress(clip, stage, is_final))
        except Exception:  # noqa: BLE001 -- whoever listens must not harm what is paid for
            _log.exception("Could not tell that %s is %s", clip.name, stage)

    def _seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()
