"""Faults of what a status answer says."""

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


class _Retold(Fault):
    """Changes the data of a status answer."""

    async def answer(self, call: Call) -> ASGIApp:
        """Tell something else than is true."""
        honest = json.loads(bytes((await call.honest()).body))
        return JSONResponse(enveloped(self.retell(honest["data"])))

    def retell(self, data: dict[str, object]) -> dict[str, object] | None:
        """Return what is told instead."""
        return data


class NullData(_Retold):
    """Say success, and nothing about the generation."""

    def retell(self, _data: dict[str, object]) -> None:
        """Tell nothing."""
        return


class UnknownState(_Retold):
    """Name a state that the contract does not know."""

    word: Annotated[str, Field(min_length=1)] = "queued"

    def retell(self, data: dict[str, object]) -> dict[str, object]:
        """Tell the word."""
        return {key: data[key] for key in ("taskId", "createTime")} | {"state": self.word}


class StepBack(_Retold):
    """Name the state before the true one."""

    strikes: ClassVar[frozenset[str]] = frozenset({"processing", "success"})

    def retell(self, data: dict[str, object]) -> dict[str, object]:
        """Tell an earlier state."""
        earlier = {key: data[key] for key in ("taskId", "createTime")}
        return earlier | {"state": _STEPS_BACK[data["state"]]}


class NoUrls(_Retold):
    """Say success with an empty list of results."""

    strikes: ClassVar[frozenset[str]] = _ONLY_SUCCESS

    def retell(self, data: dict[str, object]) -> dict[str, object]:
        """Tell of no URL."""
        return data | {"resultJson": json.dumps({"resultUrls": []})}


class BrokenResult(_Retold):
    """Say success with a `resultJson` that is not JSON."""

    strikes: ClassVar[frozenset[str]] = _ONLY_SUCCESS

    def retell(self, data: dict[str, object]) -> dict[str, object]:
        """Tell half of it."""
        return data | {"resultJson": '{"resultUrls": ["http'}
