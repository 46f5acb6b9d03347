"""Run a deployment many times from one flow run, and wait for each run."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Scheduled
from pydantic_core import to_json, to_jsonable_python

from prefect_seedance.api.urls import hide_users
from prefect_seedance.errors import SetupError
from prefect_seedance.options import Waiting
from prefect_seedance.orchestration.flow_runs import page_of
from prefect_seedance.orchestration.run_identity import lasting_run_id
from prefect_seedance.printable import get_logger, one_line

_POLL_SECONDS: Final = 3.0
_AUTOMATION_SECONDS: Final = 15.0
"""How long the automation for crashed runs has to start one again. A run that both start could have two
processes."""

_MAX_STARTS: Final = 3
"""Starts of a run whose process is killed: each continues, and buys nothing twice. An automation starts
crashed runs again too, to the same bound."""

_OVERDUE_SECONDS: Final = 1800.0
"""How long after its own deadline a run may make film and report. Then its machine counts as dead."""

_log = get_logger(__name__)


class Ended(NamedTuple):
    """A run that has ended, or counts as dead.

    Attributes:
        state: Name of its final state; several names are of the type COMPLETED.
        message: Of that state.
    """

    flow_run_id: UUID
    url: str | None
    state: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ChildRuns:
    """The runs of one deployment for one catalogue.

    Attributes:
        key: Of the catalogue's run, which keeps it when it starts again after a crash. So it finds its runs
            that have ended, and those do not pay again.
        tag: Marks the runs, so that a later run of the catalogue finds those that have not ended.
        unfinished: Runs that an earlier run of the catalogue left, and that may still end.
    """

    client: PrefectClient
    deployment: DeploymentResponse
    key: str
    tag: str
    unfinished: list[FlowRun] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls, deployment: str, *, catalog: str) -> AsyncIterator["ChildRuns"]:
        """Find the deployment, and its runs that have not ended.

        Raises:
            SetupError: If there is no such deployment, or the server does not answer.
        """
        tag = f"seedance-catalog-{catalog}"
        key = await lasting_run_id(secrets.token_hex(8), of=tag)
        async with get_client() as client:
            try:
                found = await client.read_deployment_by_name(deployment)
                unfinished = await _unfinished(client, found.id, tag)
            except ObjectNotFound:
                raise SetupError(
                    f"The Prefect server has no deployment {deployment!r}; create it with "
                    "`prefect-seedance deploy`, or name another. Nothing was spent"
                ) from None
            except (httpx.HTTPError, PrefectException) as error:
                raise SetupError(
                    f"The Prefect server failed ({hide_users(error)}). Nothing was spent"
                ) from error
            yield cls(client=client, deployment=found, key=key, tag=tag, unfinished=unfinished)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The deployment's own parameters."""
        return self.deployment.parameters

    async def run(
        self,
        storyboard: str,
        parameters: Mapping[str, Any],
        *,
        title: str,
        started: Callable[[FlowRun], None] = lambda _: None,
    ) -> Ended:
        """Run the deployment for a storyboard, again if its process is killed, and wait for the end.

        Args:
            storyboard: Its path, location or URL.
            parameters: Of the run.
            title: Of the storyboard, for the name of the run.
            started: Receives each run that is started or taken over.

        Raises:
            SetupError: If the server refuses or does not answer.
        """
        wanted = {**parameters, "storyboard": storyboard}
        run = self._take_over(wanted) or await self._start(wanted, title=title)
        started(run)
        run = await self._end(run)
        for _ in range(_MAX_STARTS - 1):
            if not run.state or not run.state.is_crashed() or run.run_count >= _MAX_STARTS:
                break
            run = await self._end(await self._start_again(run))
        return Ended(
            flow_run_id=run.id,
            url=page_of(run.id),
            state=(run.state and run.state.name) or "",
            message=_message(run),
        )

    def _take_over(self, parameters: Mapping[str, Any]) -> FlowRun | None:
        """Return a run with these parameters that has not ended; the server has them as JSON."""
        wanted = to_jsonable_python(parameters)
        found = next((run for run in self.unfinished if run.parameters == wanted), None)
        if found:
            self.unfinished.remove(found)
        return found

    async def _start(self, parameters: Mapping[str, Any], *, title: str) -> FlowRun:
        digest = hashlib.sha256(to_json(parameters)).hexdigest()
        try:
            return await arun_deployment(
                self.deployment.id,
                parameters=dict(parameters),
                flow_run_name=f"produce {one_line(title)}",
                timeout=0,
                tags=[self.tag],
                idempotency_key=f"{self.key}-{digest}",
            )
        except (httpx.HTTPError, PrefectException) as error:
            raise SetupError(
                f"Its run could not be started ({one_line(hide_users(error))}); run again"
            ) from error

    async def _start_again(self, run: FlowRun) -> FlowRun:
        """Schedule a crashed flow run, unless the automation for crashed runs, or a person, does so."""
        state: State[Any] = Scheduled(name="AwaitingRetry", message="The run crashed, and starts again.")
        await asyncio.sleep(_AUTOMATION_SECONDS)
        try:
            run = await self.client.read_flow_run(run.id)
            if not run.state or not run.state.is_crashed():
                return run
            _log.warning("The run %s crashed; it is started again", run.name)
            await self.client.set_flow_run_state(run.id, state)
        except (httpx.HTTPError, PrefectException) as error:
            raise SetupError(
                f"Its run could not be started ({one_line(hide_users(error))}); run again"
            ) from error
        return run.model_copy(update={"state": state})

    async def _end(self, run: FlowRun) -> FlowRun:
        """Wait until a run has ended; one that is overdue counts as dead, and is returned as it is."""
        while not (run.state and run.state.is_final()) and not is_overdue(run, datetime.now(UTC)):
            await asyncio.sleep(_POLL_SECONDS)
            try:
                run = await self.client.read_flow_run(run.id)
            except ObjectNotFound as error:
                raise SetupError("Its run was deleted; run again") from error
            except (httpx.HTTPError, PrefectException) as error:
                _log.warning("The state of the run %s cannot be read: %s", run.name, error)
        return run


async def _unfinished(client: PrefectClient, deployment_id: UUID, tag: str) -> list[FlowRun]:
    """Return the runs that may still end: taking over one whose machine is dead would wait for nothing."""
    now, types = datetime.now(UTC), [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    runs = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)),
            tags=FlowRunFilterTags(all_=[tag]),
        ),
    )
    return [run for run in runs if not is_overdue(run, now)]


def is_overdue(run: FlowRun, now: datetime) -> bool:
    """Return whether a run that a worker has taken should have ended long ago."""
    state = run.state
    if state is None or not (state.is_pending() or state.is_running()):
        return False
    given = run.parameters.get("deadline_seconds")
    seconds = Waiting().deadline_seconds if given is None else float(given)
    return now >= state.timestamp + timedelta(seconds=seconds + _OVERDUE_SECONDS)


def _message(run: FlowRun) -> str:
    state = run.state
    if state is None or not state.is_final():
        return (
            f"The run {run.name} reports no end long after its deadline; its machine may be dead. Run again"
        )
    return state.message or f"The run {run.name} ended as {state.name}"
