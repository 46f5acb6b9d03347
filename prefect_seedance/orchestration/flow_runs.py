"""The current flow run: its name, its deployment and its page in Prefect's UI."""

import os
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.utilities.urls import url_for

from prefect_seedance.api.urls import without_secrets
from prefect_seedance.clips.flow_run_ref import FlowRunRef


def current_run() -> FlowRunRef | None:
    """Return the current flow run, for people who read the ledger; None outside of one."""
    run = _current()
    if run is None:
        return None
    try:
        _, deployment_id = _deployed(run)
    except (httpx.HTTPError, PrefectException):  # it only serves people
        deployment_id = ""
    return FlowRunRef(name=run.name, id=str(run.id), deployment_id=deployment_id, url=page_of(run.id) or "")


def page_of(flow_run_id: UUID) -> str | None:
    """Return a flow run's page in Prefect's UI, without credentials; None if the UI is unknown."""
    url = url_for("flow-run", obj_id=flow_run_id)
    return without_secrets(url) if url else None


def continuation() -> tuple[str, ...]:
    """Return the resources of this flow run and its deployment, so that Prefect can run it again.

    Returns:
        Nothing outside of a deployed flow run.
    """
    run = _current()
    if run is None:
        return ()
    run_id, deployment_id = _deployed(run)
    return (f"prefect.flow-run.{run_id}", f"prefect.deployment.{deployment_id}") if deployment_id else ()


def _current() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None


def _deployed(run: FlowRun) -> tuple[str, str]:
    """Return the ids of a flow run and its deployment; of a subflow, those of the deployed run around it."""
    outermost = os.environ.get("PREFECT__FLOW_RUN_ID")
    if run.deployment_id is None and outermost:
        return outermost, runtime.deployment.id or ""
    return str(run.id), str(run.deployment_id or "")
