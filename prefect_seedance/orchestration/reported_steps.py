"""The steps of a clip, reported to Prefect as events and assets."""

from dataclasses import dataclass
from typing import Self

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt
from prefect_seedance.orchestration import assets, events
from prefect_seedance.orchestration.session import SharedSession
from prefect_seedance.orchestration.subscription import Subscription
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.storyboard.plan import PlannedClip


@dataclass(frozen=True, kw_only=True)
class ReportedSteps(PlainSteps):
    """Runs the steps as coroutines of the current run, and reports what they changed.

    Attributes:
        subscription: Wakes waits for generations whose end a callback reports.
    """

    subscription: Subscription

    @classmethod
    def of(cls, shared: SharedSession, settings: RunSettings) -> Self:
        """Return the steps in a shared session."""
        return cls(session=shared.session, subscription=shared.subscription, settings=settings)

    async def submit(self, clip: PlannedClip, *, deadline_seconds: float) -> Attempt:
        """Submit a clip, unless the ledger shows that a run has done so."""
        attempt = await super().submit(clip, deadline_seconds=deadline_seconds)
        events.generation_submitted(attempt)
        return attempt

    async def wait(self, attempt: Attempt, *, deadline_seconds: float) -> Attempt:
        """Wait until a generation has ended."""
        if attempt.awaits_callback and self.settings.waiting.wait:
            self.subscription.start()
        return await super().wait(attempt, deadline_seconds=deadline_seconds)

    async def archive(self, attempt: Attempt, *, deadline_seconds: float) -> Clip:
        """Download, verify and store the video of a successful attempt, unless it is archived."""
        clip = await super().archive(attempt, deadline_seconds=deadline_seconds)
        events.clip_archived(attempt, clip)
        assets.clip_archived(clip, archive=self.session.store.url, production=self.settings.production)
        return clip
