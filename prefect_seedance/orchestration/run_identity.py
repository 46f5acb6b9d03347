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

from prefect_seedance.api.urls import hide_users
from prefect_seedance.errors import SetupError


@dataclass(frozen=True)
class _Start:
    """One start of a flow run, in this process.

    Attributes:
        ends: How often the flow run had ended before, other than by a crash.
        number: How often it has started; a retry by Prefect, in the same process, is another start.
        run_ids: The numbers of run ids, in order, by what they pay for.
    """

    ends: int
    number: int
    run_ids: Mapping[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))


_starts: dict[str, _Start] = {}
"""The last start of each flow run, by its id."""


async def lasting_run_id(run_id: str, *, of: str) -> str:
    """Return the id of a run, which stays the same if Prefect starts its flow run again.

    A run pays for a clip at most once, by the ledger. So a flow run that crashes, or that Prefect retries,
    does not get its permission to pay again a second time. A flow run that has ended, and that a person
    retries, is another run.

    Args:
        run_id: Of the settings. In one start of a flow run, each counts as another run.
        of: What the run pays for, such as a production or a clip. Only the order of the runs for the same
            thing matters, because those for others may begin in any order.

    Returns:
        The given id outside of a flow run.

    Raises:
        SetupError: If the server does not answer, so that the run could pay again; nothing was spent.
    """
    flow_run_id = _outermost_flow_run()
    if not flow_run_id:
        return run_id
    start = _starts.get(flow_run_id)
    if start is None or run_id not in start.run_ids[of]:
        start = await _current_start(flow_run_id)
    run_ids = start.run_ids[of]
    return f"{flow_run_id}-{start.ends}-{run_ids.setdefault(run_id, len(run_ids))}"


def _outermost_flow_run() -> str:
    """Return the id of the flow run that Prefect starts again; empty outside of one."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if flow and flow.flow_run:
        return os.environ.get("PREFECT__FLOW_RUN_ID") or str(flow.flow_run.id)
    return str(task.task_run.flow_run_id or "") if task else ""


async def _current_start(flow_run_id: str) -> _Start:
    try:
        async with get_client() as client:
            states = await client.read_flow_run_states(UUID(flow_run_id))
    except (httpx.HTTPError, PrefectException) as error:
        raise SetupError(
            f"The Prefect server did not report the earlier states of the flow run ({hide_users(error)}). "
            "Check it, and run again; nothing was spent"
        ) from error
    ends = sum(state.type in TERMINAL_STATES and not state.is_crashed() for state in states)
    number = sum(state.is_running() for state in states)
    known = _starts.get(flow_run_id)
    if known is None or known.number != number:
        known = _starts[flow_run_id] = _Start(ends, number)
    return known
