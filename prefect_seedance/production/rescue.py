"""Archive paid clips that are not archived yet, whatever the storyboards contain today."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from prefect_seedance.api import wall_clock
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.reopen import reopen
from prefect_seedance.clips.retry import failure
from prefect_seedance.clips.unresolved import unresolved_message
from prefect_seedance.errors import SeedanceError, SubmissionUnresolvedError
from prefect_seedance.printable import get_logger
from prefect_seedance.production.oldest_first import NEVER, OldestFirst
from prefect_seedance.production.session import Session
from prefect_seedance.production.steps import Steps
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.telemetry import span

_LOST_IS_NEWS = timedelta(days=7)
"""How long to report a video that could not be archived before its link expired."""

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rescuer:
    """Archives the clips of accepted generations.

    Attributes:
        deadline: By the event loop's clock.
        archives: Whether to archive them; otherwise they are only listed.
        turns: Of the finished clips.
    """

    session: Session
    steps: Steps
    deadline: float
    archives: bool = True
    turns: OldestFirst = field(default_factory=OldestFirst)

    async def rescue_production(self, production: str, *, without: Collection[str]) -> Sequence[PaidClip]:
        """Rescue the clips that a production paid for and that are no longer in its storyboard.

        Args:
            production: The production's name.
            without: Fingerprints of the clips in its storyboard.

        Returns:
            All clips that it paid for and no longer contains, archived or not.

        Raises:
            ArchiveError: If the ledger cannot be read.
        """
        bought = await self.session.ledger.bought_by(production)
        histories = await clip_histories(self.session.store, [each for each in bought if each not in without])
        found = [history for history in histories.values() if history.attempts or history.unreadable]
        return await asyncio.gather(*[self._rescue(history, production) for history in found])

    async def find_lost(self) -> Sequence[ClipHistory]:
        """List clips that are paid for, or may be, and not archived, those first whose links expire first.

        A clip whose records cannot be read is listed. One that is lost is listed for a week after its link
        expired, so that a daily rescue reports it and then ends well again.

        Raises:
            ArchiveError: If the ledger cannot be read.
        """
        histories = await clip_histories(self.session.store, await self.session.ledger.fingerprints())
        lost = [each for each in histories.values() if not each.clip and _may_exist(each)]
        return sorted(lost, key=_expiry)

    async def rescue_lost(
        self, lost: Sequence[ClipHistory], *, on_queued: Callable[[], None] = lambda: None
    ) -> Sequence[PaidClip]:
        """Rescue the clips of these histories; a failure does not affect the others.

        Args:
            lost: The histories.
            on_queued: Called once the finished clips wait for their turns.
        """
        with span("rescue") as note:
            note(clips=len(lost))
            rescues = [asyncio.create_task(self._rescue(each)) for each in lost]
            # It is called after the first step of each task, which queues its clip.
            asyncio.get_running_loop().call_soon(on_queued)
            return await asyncio.gather(*rescues)

    async def _rescue(self, history: ClipHistory, production: str = "") -> PaidClip:
        """Archive a clip; a failure does not affect the other clips."""
        attempt = history.decisive
        if history.clip or attempt is None or not self.archives:
            return PaidClip.of(history, production=production)
        name, work = f"rescue {attempt.intent.label}", partial(self._archive, history, attempt)
        try:
            async with self.turns.turn(attempt.expires_at) if attempt.has_video else nullcontext():
                clip = await self.steps.run_clip(name, work)
        except Exception as error:  # noqa: BLE001 -- becomes the reason
            if not isinstance(error, SeedanceError):
                _log.exception("%s could not be rescued", attempt.intent.name)
            return PaidClip.of(await self._latest(history), production=production, error=error)
        latest = history if clip else await self._latest(history)
        return PaidClip.of(latest, production=production, rescued=clip)

    async def _archive(self, history: ClipHistory, attempt: Attempt) -> Clip | None:
        """Wait for a generation, and archive its video; return None if it has none yet.

        Raises:
            SubmissionUnresolvedError: If it is unknown whether the API accepted it.
            SeedanceError: If it failed, or its video cannot be archived.
        """
        session, ended = self.session, None
        if history.status is ClipStatus.unresolved:
            raise SubmissionUnresolvedError(unresolved_message(session.ledger, attempt))
        if attempt.is_open:
            ended = await self._wait(attempt)
        elif attempt.has_video:
            ended = attempt
        elif not attempt.undecided:
            ended = await reopen(history.attempts, ledger=session.ledger, client=session.client)
        if ended and ended.has_failed:
            raise failure(ended)
        if ended is None or not ended.has_video:
            return None
        async with nullcontext() if attempt.has_video else self.turns.turn(ended.expires_at):
            return await self.steps.archive(ended, deadline_seconds=self._seconds_left())

    async def _wait(self, attempt: Attempt) -> Attempt:
        """Wait for a generation, which takes one of the account's slots even beyond the limit."""
        slots = self.session.client.account.slots
        slot = slots.take()
        try:
            return await self.steps.wait(attempt, deadline_seconds=self._seconds_left())
        finally:
            slots.release(slot)

    async def _latest(self, history: ClipHistory) -> ClipHistory:
        """Read the attempts again, unless the ledger cannot be read."""
        try:
            attempts = await self.session.ledger.attempts(history.attempts[-1].intent.fingerprint)
        except SeedanceError:
            return history
        return replace(history, attempts=attempts)

    def _seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()


def _expiry(history: ClipHistory) -> datetime:
    """Return when the link to a clip's video expires; a clip without a video comes last."""
    return (history.decisive and history.decisive.expires_at) or NEVER


def _may_exist(history: ClipHistory) -> bool:
    """Return whether a generation may have a video that is not archived, or a run may still start one."""
    return bool(history.unreadable) or any(map(_may_have_video, history.attempts))


def _may_have_video(attempt: Attempt) -> bool:
    outcome = attempt.outcome
    if outcome is None:
        return True
    if attempt.has_video and outcome.expires_at:
        return wall_clock.now() < outcome.expires_at + _LOST_IS_NEWS
    return attempt.has_video or outcome.may_be_reopened
