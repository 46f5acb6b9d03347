"""Hints that a generation has ended: written down before the callback is answered, beside its records."""

import re
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from prefect_seedance.api.callback_urls import AttemptRef
from prefect_seedance.clips.records import Attempt
from prefect_seedance.storage.store import Store

_HINT = "called.json"
_HINT_KEY = re.compile(rf"(clips/([^/]+)/attempt-(\d+)/){re.escape(_HINT)}")


class Hint(BaseModel):
    """What a callback says, which proves nothing.

    Attributes:
        generation_id: The id that it names; None if it names none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    called_at: AwareDatetime
    generation_id: str | None = None


class Hints:
    """The first hint at each attempt, in the ledger's own store; like its records, never changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, attempt: Attempt, generation_id: str | None) -> None:
        """Write a hint down, unless there is one."""
        hint = Hint(called_at=datetime.now(UTC), generation_id=generation_id)
        await self._store.create(attempt.key + _HINT, hint.model_dump_json(indent=2).encode())

    async def generation_id(self, attempt: Attempt) -> str | None:
        """Return the id that the first hint at an attempt named."""
        content = await self._store.read(attempt.key + _HINT)
        try:
            return Hint.model_validate_json(content or b"").generation_id
        except ValidationError:
            return None

    async def open(self) -> tuple[AttemptRef, ...]:
        """List the attempts that were hinted at and have no outcome."""
        keys = set(await self._store.keys("clips/"))
        found = [match for key in keys if (match := _HINT_KEY.fullmatch(key))]
        return tuple(
            AttemptRef(match[2], int(match[3])) for match in found if f"{match[1]}outcome.json" not in keys
        )
