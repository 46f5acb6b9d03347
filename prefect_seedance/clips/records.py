"""The ledger's records: what a run submits, what the API answers, and how the attempt ends."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from prefect_seedance.api import wall_clock
from prefect_seedance.api.models import DEFAULT_MODEL, result_lifetime
from prefect_seedance.api.wire import GenerateRequest, Generation
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.record_format import Record
from prefect_seedance.errors import FailKind, SeedanceError, fail_kind
from prefect_seedance.printable import one_line

INTENT_FILE: Final = "intent.json"
ACCEPTANCE_FILE: Final = "accepted.json"
OUTCOME_FILE: Final = "outcome.json"
NO_RESULT: Final = "NO_RESULT"
"""Code of an outcome without a video, although the API reported no failure."""
LOST_ANSWER_FILE: Final = "no-answer.json"
"""Recorded by the run that submitted it when the answer was lost, so that no one waits for it."""
LATE_ACCEPTANCE_FILE: Final = "late-accepted.json"
"""The API's answer to the run, recorded after another generation was adopted by mistake."""
LATE_OUTCOME_FILE: Final = "late-outcome.json"
"""How an attempt ended after all, recorded after it was concluded too early."""
ATTEMPT_KEY: Final = re.compile(r"clips/(?P<fingerprint>[^/]+)/attempt-(?P<number>\d+)/")
"""Matches the beginning of the key of everything that belongs to one attempt."""


def clip_prefix(fingerprint: str) -> str:
    """Return the prefix of all keys that belong to one clip."""
    return f"clips/{fingerprint}/"


def attempt_prefix(fingerprint: str, number: int) -> str:
    """Return the prefix of all keys that belong to one attempt."""
    return f"{clip_prefix(fingerprint)}attempt-{number:03d}/"


class Intent(Record):
    """A submission, recorded before it is sent.

    Attributes:
        number: Counts the attempts at this clip, from 1.
        name: The clip's name in the storyboard.
        take: The version of the clip; None in the oldest records.
        asked_by: Host, process and, within Prefect, the flow run that submits.
        flow_run: The flow run; None outside of one and in older records.
        run_id: Distinguishes the run that submits from all others; empty in the oldest records.
        nonce: Distinguishes this record from those of other runs that claim the same attempt.
        settles_by: The run that wrote this records the answer before this time, or never.
        request: The request; its URLs lack the callback's token and the images' signatures, which only the
            API receives.
        continued_by: Names of the Prefect resources to trigger once the generation has ended. Empty if
            the run waits for the generation itself.
    """

    fingerprint: str
    number: int
    name: str
    production: str
    model: str
    base_url: str
    request: GenerateRequest
    asked_by: str
    asked_at: AwareDatetime
    settles_by: AwareDatetime
    run_id: str = ""
    nonce: str = ""
    continued_by: tuple[str, ...] = ()
    flow_run: FlowRunRef | None = None
    take: int | None = None

    @property
    def label(self) -> str:
        """The clip's name as one line, for names of runs and events."""
        return one_line(self.name)


class Acceptance(Record):
    """The API's answer to a submission.

    Attributes:
        resolved_by: Who found the id afterwards; None if the run recorded the API's answer itself.
    """

    generation_id: str
    accepted_at: AwareDatetime
    resolved_by: str | None = None


class LostAnswer(Record):
    """A submission whose answer did not arrive, or was not usable; only its existence counts.

    Attributes:
        reason: The error of the request.
    """

    lost_at: AwareDatetime
    reason: str


class Result(StrEnum):
    """How an attempt ended."""

    success = "success"
    failed = "failed"
    not_started = "not started"
    """The submission was refused or never arrived; nothing was billed."""
    lost = "lost"
    """A person, or a run that may resubmit, declared it lost, whether or not it was billed."""


class Outcome(Record):
    """How an attempt ended, and why.

    Attributes:
        kind: Why it failed, as far as that decides whether to retry.
        code: The API's ``failCode``, or the name of the error that prevented the start.
        resolved_by: Who declared it; None if it was observed.
        expires_at: When the result's URLs expire, or would expire if a missing result still appears.
        generation: The API's last status.
    """

    result: Result
    ended_at: AwareDatetime
    result_urls: tuple[str, ...] = ()
    expires_at: AwareDatetime | None = None
    kind: FailKind | None = None
    code: str | None = None
    message: str | None = None
    generation: Generation | None = None
    resolved_by: str | None = None

    @classmethod
    def of_generation(cls, generation: Generation, *, model: str) -> Self:
        """Return the outcome of a generation that has ended; a success without a URL is a failure."""
        if generation.state == "success" and not generation.result_urls:
            reason = "the API reports success without a usable URL, and may have billed the generation"
            return cls.without_result(reason, model=model, generation=generation)
        ended_at = generation.completed_at or wall_clock.now()
        if generation.state == "success":
            return cls(
                result=Result.success,
                ended_at=ended_at,
                result_urls=generation.result_urls,
                expires_at=ended_at + result_lifetime(model),
                generation=generation,
            )
        code = generation.fail_code or "UNKNOWN"
        return cls(
            result=Result.failed,
            ended_at=ended_at,
            kind=fail_kind(code, generation.fail_message or ""),
            code=code,
            message=generation.fail_message,
            generation=generation,
        )

    def concerns(self, generation_id: str) -> bool:
        """Return whether this is the end of a generation, and not of a mistake about the attempt."""
        if self.generation is None:
            return self.result in {Result.success, Result.failed}
        return self.generation.generation_id == generation_id

    @classmethod
    def without_result(cls, reason: str, *, model: str, generation: Generation | None = None) -> Self:
        """Return the outcome of a generation without a video, although the API reported no failure.

        It expires a lifetime after now, because without a video the API's times may be wrong, too.
        """
        now = wall_clock.now()
        return cls(
            result=Result.failed,
            ended_at=(generation and generation.completed_at) or now,
            expires_at=now + result_lifetime(model),
            kind=fail_kind(NO_RESULT),
            code=NO_RESULT,
            message=reason,
            generation=generation,
        )

    @property
    def may_be_reopened(self) -> bool:
        """Whether the API may still deliver a video that it did not deliver when the outcome was recorded.

        The status must be read again before anything is paid for another attempt.
        """
        if self.result is not Result.failed or self.code != NO_RESULT:
            return False
        now = wall_clock.now()
        if self.expires_at is None:  # one of the oldest records, when there was only one model
            return now - self.ended_at < result_lifetime(DEFAULT_MODEL)
        return now < self.expires_at

    @classmethod
    def of_refusal(cls, error: SeedanceError, *, kind: FailKind) -> Self:
        """Return the outcome of a submission whose error proves that nothing was started."""
        return cls(
            result=Result.not_started,
            ended_at=wall_clock.now(),
            kind=kind,
            code=type(error).__name__,
            message=str(error).encode(errors="replace").decode(),
        )

    @classmethod
    def of_loss(cls, *, resolved_by: str) -> Self:
        """Return the outcome of an unresolved attempt that was declared lost."""
        return cls(result=Result.lost, ended_at=wall_clock.now(), resolved_by=resolved_by)


class Attempt(BaseModel):
    """One paid try at a clip: its records so far.

    Attributes:
        has_lost_answer: Whether the run that submitted it recorded that it has no answer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    intent: Intent
    acceptance: Acceptance | None = None
    outcome: Outcome | None = None
    has_lost_answer: bool = False

    @classmethod
    def of(cls, intent: Intent, acceptance: Acceptance | None, outcome: Outcome | None) -> Self:
        """Combine the records; an acceptance overrules an outcome that is not that of its generation."""
        if acceptance and outcome and not outcome.concerns(acceptance.generation_id):
            outcome = None
        return cls(intent=intent, acceptance=acceptance, outcome=outcome)

    @property
    def key(self) -> str:
        """The prefix of its records' keys."""
        return attempt_prefix(self.intent.fingerprint, self.intent.number)

    @property
    def awaits_callback(self) -> bool:
        """Whether the submission requested a callback."""
        return self.intent.request.request_type == "callback"

    @property
    def generation_id(self) -> str:
        """The API's id for it; empty until it is accepted."""
        return self.acceptance.generation_id if self.acceptance else ""

    @property
    def undecided(self) -> bool:
        """Whether neither an answer nor an outcome is recorded yet."""
        return self.acceptance is None and self.outcome is None

    @property
    def is_open(self) -> bool:
        """Whether the API accepted it, and no end is recorded."""
        return self.acceptance is not None and self.outcome is None

    @property
    def has_failed(self) -> bool:
        """Whether it ended without a video."""
        return self.outcome is not None and not self.has_video

    @property
    def has_video(self) -> bool:
        """Whether the API finished its video."""
        return self.outcome is not None and self.outcome.result is Result.success

    @property
    def expires_at(self) -> datetime | None:
        """When the API stops serving its video; None if no end is recorded."""
        return self.outcome.expires_at if self.outcome else None

    @property
    def settling_seconds(self) -> float:
        """How long the run that submitted it may still record the answer; 0 once that time is over.

        Never longer than the run allowed itself, even if its clock is ahead of ours.
        """
        if self.has_lost_answer:
            return 0.0
        left = self.intent.settles_by - wall_clock.now()
        return max(0.0, min(left, self.intent.settles_by - self.intent.asked_at).total_seconds())

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that may be billed; 0 if the submission certainly started nothing."""
        is_free = self.outcome and self.outcome.result is Result.not_started
        return 0 if is_free else self.intent.request.input.duration
