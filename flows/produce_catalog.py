"""Make many storyboards: one flow run for each that is not complete."""

from typing import Annotated, Any

from prefect import State, flow
from prefect_seedance.flows.storyboard_to_transitions import storyboard_to_transitions
from pydantic import Field

from prefect_seedance import options
from prefect_seedance.orchestration.catalog import make_catalog
from prefect_seedance.orchestration.states import catalog_state, explained, named_after
from prefect_seedance.production import catalog_options
from prefect_seedance.production.catalog_options import CatalogOptions
from prefect_seedance.report.catalog import CatalogManifest

_OPTIONS = CatalogOptions()


@flow(name="produce-catalog", flow_run_name=named_after("catalog"))
@explained
async def produce_catalog(
    catalog: catalog_options.CatalogSource | Annotated[list[str], Field(title="Storyboards")],
    archive: options.Archive = "",
    name: catalog_options.CatalogName = "",
    credentials: options.CredentialsName = "",
    deployment: catalog_options.CatalogDeployment = _OPTIONS.deployment,
    at_a_time: catalog_options.AtATime = _OPTIONS.at_a_time,
    max_seconds: catalog_options.CatalogSeconds = None,
    deadline_seconds: catalog_options.CatalogDeadline = _OPTIONS.deadline_seconds,
    parameters: dict[str, Any] = {},  # noqa: B006 -- never changed
) -> State[CatalogManifest]:
    """Run the deployment storyboard-to-transitions for each storyboard of a catalogue that is not complete.

    Run the flow as often as you like: a complete storyboard needs no run, and a failed one stops no others.

    Args:
        parameters: Parameters of all runs, such as images_url.
    """
    chosen = options.options_from(locals(), CatalogOptions)
    manifest = await make_catalog(
        catalog,
        chosen,
        archive=archive,
        parameters=parameters,
        child=storyboard_to_transitions,
    )
    return catalog_state(manifest)
