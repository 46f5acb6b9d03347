"""A clip that was paid for, as the ledger knows it, whatever the storyboards contain today."""

from collections.abc import Iterable
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.history import ClipHistory, ClipStatus
from prefect_seedance.clips.sources import is_lost
from prefect_seedance.report.verdict import Verdict


class PaidClip(BaseModel):
    """A clip with its bill.

    Attributes:
        production: The production that paid for the last attempt.
        billed_seconds: Of video, of all attempts that may have started a generation.
        expires_at: When the API stops serving its video; None if it is not finished.
        key: The video's key in the archive; None if it is not archived.
        reason: Why it is not archived.
        code: The API's ``failCode``, or else the class of the error behind the reason.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fingerprint: str
    name: str
    production: str
    status: ClipStatus
    billed_seconds: int
    generation_id: str | None = None
    expires_at: AwareDatetime | None = None
    key: str | None = None
    reason: str | None = None
    code: str | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether a run tried to archive its finished video, and could not."""
        return self.status is ClipStatus.not_archived and self.reason is not None

    @classmethod
    def of(
        cls,
        history: ClipHistory,
        *,
        production: str = "",
        rescued: Clip | None = None,
        error: BaseException | None = None,
    ) -> Self:
        """Return the clip of a history that has attempts, or records that cannot be read.

        Args:
            history: Its records.
            production: Count only the attempts of this production. Default: all.
            rescued: Its video, if that has just been archived.
            error: Why it could not be archived.
        """
        clip, attempt = rescued or history.clip, history.decisive
        ours = [each for each in history.attempts if production in {"", each.intent.production}]
        reason = str(error) if error else "; ".join(map(str, history.unreadable))
        outcome = attempt.outcome if attempt else None
        return cls(
            fingerprint=history.fingerprint,
            name=attempt.intent.name if attempt else history.fingerprint,
            production=attempt.intent.production if attempt else production,
            status=_status(history, rescued, error),
            billed_seconds=sum(each.billed_seconds for each in ours),
            generation_id=attempt.generation_id or None if attempt else None,
            expires_at=attempt.expires_at if attempt else None,
            key=clip.key if clip else None,
            reason=reason or None,
            code=(outcome and outcome.code) or (type(error).__name__ if error else None),
        )


def _status(history: ClipHistory, rescued: Clip | None, error: BaseException | None) -> ClipStatus:
    if rescued:
        return ClipStatus.made
    attempt = history.decisive
    if error and attempt and attempt.has_video and is_lost(attempt.outcome, error):
        return ClipStatus.failed
    return history.status


def verdict_on(clips: Iterable[PaidClip]) -> Verdict:
    """Return the most urgent thing that a rescue leaves to do."""
    left = {clip.status for clip in clips if not clip.key}
    if ClipStatus.unresolved in left:
        return Verdict.unresolved
    if left - {ClipStatus.in_flight, ClipStatus.submitting}:
        return Verdict.failed
    return Verdict.in_flight if left else Verdict.complete
