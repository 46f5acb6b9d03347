"""The account's slots that the generations of one run take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prefect_seedance.api.slots import Slot, Slots
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import DeadlineError
from prefect_seedance.storyboard.plan import PlannedClip

_MAY_BE_IN_FLIGHT = {ClipStatus.in_flight, ClipStatus.submitting}


@dataclass(kw_only=True)
class RunSlots:
    """The slots of one run, by clip.

    Attributes:
        slots: The account's.
        limit: How many generations the account may have in flight, as the run's settings say.
        deadline: Of each wait for a slot, by the event loop's clock.
        statuses: The clips' statuses when the run began, by fingerprint.
        waiting: How many clips wait for a slot.
    """

    slots: Slots
    limit: int
    deadline: float
    statuses: Mapping[str, ClipStatus]
    waiting: int = 0
    _taken: dict[str, Slot] = field(default_factory=dict)

    def take_open(self) -> None:
        """Take slots for what earlier runs submitted, even beyond the limit, because it may be in flight."""
        for fingerprint, status in self.statuses.items():
            if status in _MAY_BE_IN_FLIGHT:
                self._taken[fingerprint] = self.slots.take()

    async def take(self, clip: PlannedClip) -> None:
        """Take a slot for a clip, unless it has one, or its generation has ended.

        Raises:
            DeadlineError: If no slot was free before the deadline.
        """
        has_ended = self.statuses.get(clip.fingerprint) is ClipStatus.not_archived
        if has_ended or clip.fingerprint in self._taken:
            return
        self.waiting += 1
        try:
            slot = await self.slots.acquire(limit=self.limit, deadline=self.deadline)
        except TimeoutError:
            raise DeadlineError(f"{clip.name} was not submitted and cost nothing: {self._refusal}") from None
        finally:
            self.waiting -= 1
        self._taken[clip.fingerprint] = slot

    @property
    def reason(self) -> str:
        """Why a clip has to wait for a slot; empty if that is not known yet."""
        share = self.slots.share
        if share is None or self.slots.taken >= self.limit:
            return f"{self.limit:,} generations may be in flight at a time"
        if share.problem:
            return f"the Prefect server, which divides the account's slots, fails ({share.problem})"
        if not share.is_known:
            return ""
        return f"all slots of the account are taken, {self.slots.taken:,} of them by this process"

    @property
    def _refusal(self) -> str:
        """Why no slot was free before the deadline, and when to run again."""
        share = self.slots.share
        if share is None or self.slots.taken >= self.limit:
            return "the account's limit of concurrent generations is reached. Run again when some have ended"
        if share.problem or not share.is_known:
            unknown = "the Prefect server, which divides the account's slots, has not answered"
            return f"{self.reason or unknown}. Run again when it answers"
        return f"{self.reason}. Run again when some have ended"

    def release(self, fingerprint: str) -> None:
        """Make room for another generation, if the clip has a slot."""
        if slot := self._taken.pop(fingerprint, None):
            self.slots.release(slot)

    def release_all(self) -> None:
        """Make room for the generations of other runs."""
        for fingerprint in tuple(self._taken):
            self.release(fingerprint)
