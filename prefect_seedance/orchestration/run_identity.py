"""The identity of a run, which Prefect may start several times."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException

from prefect_seedance.printable import get_logger
from prefect_seedance.production.settings import RunSettings

_log = get_logger(__name__)


@dataclass
class _Started:
    """What this process has run in one flow run.

    Attributes:
        name: Of the flow run, and how often it had ended before.
        run_ids: Those of the settings of each production, in order.
    """

    name: str
    run_ids: Mapping[str, list[str]] = field(default_factory=lambda: defaultdict(list))


_started: dict[str, _Started] = {}
"""By the id of the flow run."""


async def lasting_run_id(settings: RunSettings) -> str:
    """Return the id of a run, which stays the same if Prefect starts its flow run again after a crash.

    A run pays for a clip at most once, by the ledger. So a flow run that crashes does not get its permission
    to pay again a second time. A flow run that has ended, and that a person retries, is another run.

    Args:
        settings: Of the run. In one flow run, each of them counts as another run.

    Returns:
        The settings' own id outside of a flow run.
    """
    flow_run_id = _outermost_flow_run()
    if not flow_run_id:
        return settings.run_id
    if flow_run_id not in _started:
        _started[flow_run_id] = _Started(f"{flow_run_id}-{await _ends(flow_run_id)}")
    started = _started[flow_run_id]
    runs = started.run_ids[settings.production]
    if settings.run_id not in runs:
        runs.append(settings.run_id)
    return f"{started.name}-{runs.index(settings.run_id)}"


def _outermost_flow_run() -> str:
    """Return the id of the flow run that Prefect starts again; empty outside of one."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if flow and flow.flow_run:
        return os.environ.get("PREFECT__FLOW_RUN_ID") or str(flow.flow_run.id)
    return str(task.task_run.flow_run_id or "") if task else ""


async def _ends(flow_run_id: str) -> int:
    """Return how often a flow run has ended other than by a crash; 0 if that is unknown."""
    try:
        async with get_client() as client:
            states = await client.read_flow_run_states(UUID(flow_run_id))
    except (httpx.HTTPError, PrefectException) as error:
        _log.warning("The earlier states of the flow run cannot be read: %s", error)
        return 0
    return sum(state.type in TERMINAL_STATES and not state.is_crashed() for state in states)
