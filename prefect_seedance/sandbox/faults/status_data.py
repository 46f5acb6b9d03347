"""Faults of the data in a status response."""

import json
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from prefect_seedance.sandbox.envelope import enveloped
from prefect_seedance.sandbox.faults.fault import Call, Fault

_ONLY_SUCCESS = frozenset({"success"})

_STEPS_BACK: Mapping[object, str] = {"processing": "pending", "success": "processing"}


class _AlteredStatus(Fault):
    """Change the data of a status response."""

    async def respond(self, call: Call) -> ASGIApp:
        """Respond with altered data."""
        body = json.loads(bytes((await call.proceed()).body))
        return JSONResponse(enveloped(self.alter(body["data"])))

    def alter(self, data: dict[str, object]) -> dict[str, object] | None:
        """Return the altered data."""
        return data


class NullData(_AlteredStatus):
    """Report success with `data` set to null."""

    def alter(self, _data: dict[str, object]) -> None:
        """Return no data."""
        return


class UnknownState(_AlteredStatus):
    """Report a state that the contract does not define."""

    word: Annotated[str, Field(min_length=1)] = "queued"

    def alter(self, data: dict[str, object]) -> dict[str, object]:
        """Return data with the unknown state."""
        return {key: data[key] for key in ("taskId", "createTime")} | {"state": self.word}


class StepBack(_AlteredStatus):
    """Report the state before the actual one."""

    states: ClassVar[frozenset[str]] = frozenset({"processing", "success"})

    def alter(self, data: dict[str, object]) -> dict[str, object]:
        """Return data with the earlier state."""
        earlier = {key: data[key] for key in ("taskId", "createTime")}
        return earlier | {"state": _STEPS_BACK[data["state"]]}


class NoUrls(_AlteredStatus):
    """Report success with an empty list of results."""

    states: ClassVar[frozenset[str]] = _ONLY_SUCCESS

    def alter(self, data: dict[str, object]) -> dict[str, object]:
        """Return data without URLs."""
        return data | {"resultJson": json.dumps({"resultUrls": []})}


class BrokenResult(_AlteredStatus):
    """Report success with an invalid `resultJson`."""

    states: ClassVar[frozenset[str]] = _ONLY_SUCCESS

    def alter(self, data: dict[str, object]) -> dict[str, object]:
        """Return data with truncated JSON."""
        return data | {"resultJson": '{"resultUrls": ["http'}
