"""What was asked, accepted and ended: the only memory of what money was spent on.

The records of a clip's attempts are small JSON objects that are created and never changed:

```
clips/<fingerprint>/attempt-001/intent.json     before the submission is sent
clips/<fingerprint>/attempt-001/accepted.json   its answer: the generation's id
clips/<fingerprint>/attempt-001/outcome.json    its end
```

Creating an intent is the claim to an attempt: of many processes that try, the store lets one win.
"""

import asyncio
import re
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.api.wire import GenerateRequest, Generation
from prefect_seedance.errors import ArchiveError, FailKind, SeedanceError, fail_kind
from prefect_seedance.storage.store import Store

_INTENT, _ACCEPTED, _OUTCOME = "intent.json", "accepted.json", "outcome.json"
_ATTEMPT_KEY = re.compile(r"clips/[^/]+/attempt-(\d+)/")
_READERS = 32
"""Clips read at once: a bucket answers them in parallel, and a folder keeps few files open."""


def clip_prefix(fingerprint: str) -> str:
    """Return the key below which everything about one clip lives."""
    return f"clips/{fingerprint}/"


class Record(BaseModel):
    """One object of the ledger."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Intent(Record):
    """What is about to be asked, written down before it is sent.

    Attributes:
        number: Counts the attempts at this clip, from 1.
        name: What people call the clip.
        asked_by: Host, process and, within Prefect, the flow run.
        settles_by: By then whoever wrote this has recorded an answer, or died.
        request: What is asked; a callback's URL without the token, which only the API is told.
        continued_by: What to run again once the generation has ended, because nobody waits for it:
            names of Prefect's resources, none if somebody does.
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
    continued_by: tuple[str, ...] = ()


class Acceptance(Record):
    """The API's answer to the submission.

    Attributes:
        resolved_by: Whoever found out the id afterwards; None if the answer itself was recorded.
    """

    generation_id: str
    accepted_at: AwareDatetime
    resolved_by: str | None = None


class Result(StrEnum):
    """How an attempt ended."""

    success = "success"
    failed = "failed"
    not_started = "not started"
    """The submission was refused or never arrived; nothing was billed."""
    lost = "lost"
    """Somebody declared that nothing will come of it, whether or not it was billed."""


class Outcome(Record):
    """How an attempt ended.

    Attributes:
        kind: Why it failed, as far as that decides what may be done next.
        code: The API's ``failCode``, or the kind of error that kept it from being started.
        resolved_by: Whoever declared it; None if it was observed.
        expires_at: Until when the result's URLs are good.
        generation: The API's last word.
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
        """Judge a generation that has ended; success without a URL is a failure, however it calls itself."""
        ended_at = generation.completed_at or datetime.now(UTC)
        if generation.state == "success" and generation.result_urls:
            return cls(
                result=Result.success,
                ended_at=ended_at,
                result_urls=generation.result_urls,
                expires_at=ended_at + CAPABILITIES[model].result_lifetime,
                generation=generation,
            )
        code, message = generation.fail_code or "UNKNOWN", generation.fail_message
        if generation.state == "success":
            code, message = "NO_RESULT", "the API reports success and gives no usable URL; it may have billed"
        return cls(
            result=Result.failed,
            ended_at=ended_at,
            kind=fail_kind(code),
            code=code,
            message=message,
            generation=generation,
        )

    @classmethod
    def of_refusal(cls, error: SeedanceError, *, kind: FailKind) -> Self:
        """Note that the submission failed with an error that is certain to have started nothing."""
        return cls(
            result=Result.not_started,
            ended_at=datetime.now(UTC),
            kind=kind,
            code=type(error).__name__,
            message=str(error),
        )

    @classmethod
    def of_loss(cls, *, resolved_by: str) -> Self:
        """Note that somebody gave an unresolved attempt up."""
        return cls(result=Result.lost, ended_at=datetime.now(UTC), resolved_by=resolved_by)


class Attempt(Record):
    """One paid try at a clip, with all that is known of it."""

    intent: Intent
    acceptance: Acceptance | None = None
    outcome: Outcome | None = None

    @classmethod
    def of(cls, intent: Intent, acceptance: Acceptance | None, outcome: Outcome | None) -> Self:
        """Put together what is recorded; of an attempt that was given up too early the giving up is not."""
        was_answered_after_all = acceptance and outcome and outcome.result is Result.lost
        return cls(intent=intent, acceptance=acceptance, outcome=None if was_answered_after_all else outcome)

    @property
    def key(self) -> str:
        """The key below which its records lie."""
        return _attempt_prefix(self.intent.fingerprint, self.intent.number)

    @property
    def awaits_callback(self) -> bool:
        """Whether the API was asked to tell when it has ended."""
        return self.intent.request.request_type == "callback"

    @property
    def generation_id(self) -> str:
        """The API's id for it; empty until it is accepted."""
        return self.acceptance.generation_id if self.acceptance else ""

    @property
    def undecided(self) -> bool:
        """Whether nobody has recorded yet what became of the submission."""
        return self.acceptance is None and self.outcome is None

    @property
    def settling_seconds(self) -> float:
        """How long its author may still be about to record the answer; 0 once that time is over.

        However wrong the author's clock is, it is never longer than the author took for itself.
        """
        left = self.intent.settles_by - datetime.now(UTC)
        return max(0.0, min(left, self.intent.settles_by - self.intent.asked_at).total_seconds())


_R = TypeVar("_R", bound=Record)


class Ledger:
    """The attempts at clips, as an archive's store remembers them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def archive(self) -> str:
        """The archive that it belongs to, as commands name it."""
        return self._store.name

    async def attempts(self, fingerprint: str) -> tuple[Attempt, ...]:
        """Read all attempts at one clip, the oldest first."""
        keys = await self._store.keys(clip_prefix(fingerprint))
        found = {match[0]: int(match[1]) for key in keys if (match := _ATTEMPT_KEY.match(key))}
        prefixes = sorted(found, key=lambda prefix: found[prefix])
        return tuple(await asyncio.gather(*[self._attempt(prefix, keys) for prefix in prefixes]))

    async def attempt(self, fingerprint: str, number: int) -> Attempt | None:
        """Read one attempt, or return None if it was never claimed."""
        intent = await self._find(_attempt_prefix(fingerprint, number) + _INTENT, Intent)
        return await self.refreshed(Attempt(intent=intent)) if intent else None

    async def refreshed(self, attempt: Attempt) -> Attempt:
        """Return an attempt with what was recorded of it meanwhile, having read only what it lacked."""
        outcome = attempt.outcome or await self._find(attempt.key + _OUTCOME, Outcome)
        acceptance = attempt.acceptance or await self._find(attempt.key + _ACCEPTED, Acceptance)
        return Attempt.of(attempt.intent, acceptance, outcome)

    async def fingerprints(self) -> tuple[str, ...]:
        """List every clip that was ever asked for."""
        keys = await self._store.keys("clips/")
        return tuple(dict.fromkeys(key.split("/")[1] for key in keys))

    async def histories(self) -> tuple[tuple[Attempt, ...], ...]:
        """Read all attempts at every clip that was ever asked for, clip by clip."""
        readers = asyncio.Semaphore(_READERS)

        async def history(fingerprint: str) -> tuple[Attempt, ...]:
            async with readers:
                return await self.attempts(fingerprint)

        found = await asyncio.gather(*map(history, await self.fingerprints()))
        return tuple(attempts for attempts in found if attempts)

    async def claim(self, intent: Intent) -> Attempt | None:
        """Record an intent and return the attempt that it begins, or None if someone else was first."""
        attempt = Attempt(intent=intent)
        created = await self._create(attempt.key + _INTENT, intent)
        return attempt if created else None

    async def accept(
        self, attempt: Attempt, generation_id: str, *, resolved_by: str | None = None
    ) -> Attempt:
        """Record the API's answer; of two answers to one attempt the first stands."""
        acceptance = Acceptance(
            generation_id=generation_id, accepted_at=datetime.now(UTC), resolved_by=resolved_by
        )
        if not await self._create(attempt.key + _ACCEPTED, acceptance):
            acceptance = await self._read(attempt.key + _ACCEPTED, Acceptance)
        return attempt.model_copy(update={"acceptance": acceptance})

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Attempt:
        """Record how an attempt ended; of two outcomes the first stands, unless it was given up too early."""
        if not await self._create(attempt.key + _OUTCOME, outcome):
            first = await self._read(attempt.key + _OUTCOME, Outcome)
            outcome = outcome if attempt.acceptance and first.result is Result.lost else first
        return attempt.model_copy(update={"outcome": outcome})

    async def _attempt(self, prefix: str, keys: Collection[str]) -> Attempt:
        accepted, ended = prefix + _ACCEPTED, prefix + _OUTCOME
        intent = await self._read(prefix + _INTENT, Intent)
        acceptance = await self._read(accepted, Acceptance) if accepted in keys else None
        outcome = await self._read(ended, Outcome) if ended in keys else None
        return Attempt.of(intent, acceptance, outcome)

    async def _create(self, key: str, record: Record) -> bool:
        return await self._store.create(key, record.model_dump_json(indent=2).encode())

    async def _read(self, key: str, kind: type[_R]) -> _R:
        found = await self._find(key, kind)
        if found is None:
            raise self._damaged(key)
        return found

    async def _find(self, key: str, kind: type[_R]) -> _R | None:
        content = await self._store.read(key)
        try:
            return None if content is None else kind.model_validate_json(content)
        except ValidationError:
            raise self._damaged(key) from None

    def _damaged(self, key: str) -> ArchiveError:
        return ArchiveError(
            f"The ledger's record {self._store.link(key)} is missing or damaged; "
            "restore it from a backup, or the clip might be bought again"
        )


def _attempt_prefix(fingerprint: str, number: int) -> str:
    return f"{clip_prefix(fingerprint)}attempt-{number:03d}/"
