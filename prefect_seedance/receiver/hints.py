"""Callbacks as hints, stored beside the attempt's records before the receiver responds."""

from datetime import UTC, datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from prefect_seedance.api.callback_urls import AttemptRef
from prefect_seedance.clips.records import ATTEMPT_KEY, OUTCOME_FILE, Attempt, attempt_prefix
from prefect_seedance.storage.store import Store

_HINT_FILE: Final = "called.json"


class Hint(BaseModel):
    """The content of a callback, which proves nothing.

    Attributes:
        generation_id: The id in its body, if there is one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    called_at: AwareDatetime
    generation_id: str | None = None


class Hints:
    """The first hint for each attempt, stored in the archive and never changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, ref: AttemptRef, generation_id: str | None) -> None:
        """Store a hint, unless the attempt has one."""
        hint = Hint(called_at=datetime.now(UTC), generation_id=generation_id)
        key = attempt_prefix(ref.fingerprint, ref.number) + _HINT_FILE
        await self._store.create(key, hint.model_dump_json(indent=2).encode())

    async def generation_id(self, attempt: Attempt) -> str | None:
        """Return the id in the first hint for an attempt; None if there is none, or it cannot be read."""
        content = await self._store.read(attempt.key + _HINT_FILE)
        try:
            return Hint.model_validate_json(content or b"").generation_id
        except ValidationError:
            return None

    async def pending(self) -> tuple[AttemptRef, ...]:
        """List the attempts that have a hint and no outcome."""
        keys = set(await self._store.keys("clips/"))
        found = [match for key in keys if (match := ATTEMPT_KEY.match(key)) and key == match[0] + _HINT_FILE]
        return tuple(
            AttemptRef(match["fingerprint"], int(match["number"]))
            for match in found
            if match[0] + OUTCOME_FILE not in keys
        )
