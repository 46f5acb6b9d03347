"""The current flow run, as the ledger names it."""

import asyncio
from dataclasses import astuple
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.orchestration.flow_runs import continuation, current_run, page_of
from tests.flows.conftest import Api

RUN_ID = UUID(int=7)
PAGE = f"runs/flow-run/{RUN_ID}"

Found = tuple[FlowRunRef | None, tuple[str, ...]]


@flow(name="shot", flow_run_name="shot of the sea")
async def shot() -> Found:
    """Return the run, and what continues it."""
    return current_run(), continuation()


@flow(name="film")
async def film() -> tuple[Found, Found]:
    """Return the same of this flow and of a subflow."""
    return (current_run(), continuation()), await shot()


def test_own_run_is_named(server: Api) -> None:
    """A run without a deployment has its name, its id and its page, and nothing to run again."""
    run, continued_by = asyncio.run(shot())

    (found,) = server.filter("/flow_runs", flow_runs={"name": {"any_": ["shot of the sea"]}})
    ui = str(PREFECT_API_URL.value()).removesuffix("/api")
    assert run
    assert astuple(run) == (found["name"], found["id"], "", f"{ui}/runs/flow-run/{found['id']}")
    assert continued_by == ()


def test_deployment_is_named(server: Api) -> None:
    """A deployed run and its subflow name the deployment, each with its own id."""
    (deployment_id, run_id), (outer, inner) = asyncio.run(_run_deployed())

    assert server
    assert [run and run.deployment_id for run, _ in (outer, inner)] == [deployment_id] * 2
    assert outer[0]
    assert inner[0]
    assert outer[0].id == run_id != inner[0].id
    resources = (f"prefect.flow-run.{run_id}", f"prefect.deployment.{deployment_id}")
    assert [continued_by for _, continued_by in (outer, inner)] == [resources] * 2


async def _run_deployed() -> tuple[tuple[str, str], tuple[Found, Found]]:
    """Run a flow as its deployment does, and return the ids of both, and what the flow returns."""
    async with get_client() as client:
        flow_id = await client.create_flow(film)
        deployment_id = await client.create_deployment(flow_id, "nightly")
        run = await client.create_flow_run_from_deployment(deployment_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))
        found = await run_flow(film, flow_run=run)  # type: ignore[misc]  # async for an async flow
    return (str(deployment_id), str(run.id)), found


def test_no_flow_run_has_no_name() -> None:
    """Outside of a flow run there is none for the ledger, and nothing to run again."""
    assert current_run() is None
    assert continuation() == ()


@pytest.mark.parametrize(
    ("setting", "url", "page"),
    [
        ("api", "http://studio:s3cret@prefect.example:4200/api", "http://prefect.example:4200/"),
        (
            "ui",
            "https://studio:s3cret@ui.example/prefect?token=s3cret#s3cret",
            "https://ui.example/",
        ),
        ("ui", "https://ui.example/prefect/", "https://ui.example/prefect/"),
    ],
    ids=["API", "UI", "path"],
)
def test_page_has_no_secret(setting: str, url: str, page: str) -> None:
    """The link to a run has neither the user nor the query of the configured URL."""
    settings = {"api": PREFECT_API_URL, "ui": PREFECT_UI_URL}
    changed = settings.pop(setting)
    with temporary_settings({changed: url}, restore_defaults=set(settings.values())):
        assert page_of(RUN_ID) == f"{page}{PAGE}"


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "/ui"])
def test_unknown_pages_are_missing(url: str) -> None:
    """A run has no page if the UI has none that a browser can open."""
    with temporary_settings({PREFECT_UI_URL: url}):
        assert page_of(RUN_ID) is None
