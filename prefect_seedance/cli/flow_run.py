"""Run a production as a flow run of Prefect."""

import asyncio
import atexit
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

import httpx
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.context import refresh_global_settings_context
from prefect.exceptions import PrefectException
from prefect.logging.configuration import setup_logging
from prefect.states import Cancelled, Failed

from prefect_seedance.api.urls import hide_users
from prefect_seedance.cli.prefect_server import has_server, temporary_server
from prefect_seedance.cli.progress import Screen
from prefect_seedance.cli.signals import Stop, interruptible
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.produce import run_prepared
from prefect_seedance.orchestration.states import final_state
from prefect_seedance.production.prepare import Prepared
from prefect_seedance.report.manifest import Manifest

_STARTING = "Starting a temporary Prefect server (set PREFECT_API_URL to use a running one)"


def run_as_flow(prepared: Prepared, screen: Screen) -> Manifest | None:
    """Run a prepared production in a flow run, on a temporary server if none is configured.

    Returns:
        The manifest, or None if a signal stopped the run.

    Raises:
        SetupError: If the Prefect server does not start or answer.
    """
    _configure_prefect()
    if not has_server():
        with interruptible(), screen.busy(_STARTING):
            stack = ExitStack()
            stack.enter_context(temporary_server())
            # Prefect sends its last logs and events when the process ends, just before this.
            atexit.register(stack.close)
    return asyncio.run(_run(prepared, screen))


def _configure_prefect() -> None:
    """Apply the settings of this command, in case that Prefect was loaded before them."""
    refresh_global_settings_context()
    setup_logging()


async def _run(prepared: Prepared, screen: Screen) -> Manifest | None:
    await _check_server()
    stop, ending = Stop(screen), _Ending()

    @flow(name="produce", flow_run_name=f"produce {prepared.plan.name}")
    async def produce() -> State[Any]:
        return await ending.of(stop.run(run_prepared(prepared, on_progress=screen.show, on_wait=screen.note)))

    try:
        with stop.handling():  # the flow's engine handles SIGTERM itself outside of our work
            await produce(return_state=True)
    except (httpx.HTTPError, PrefectException) as error:
        if not ending.is_known:  # otherwise Prefect only failed to record the end, which harms nothing
            raise SetupError(
                f"The Prefect server failed ({hide_users(error)}). Check it, or set PREFECT_API_URL "
                "to another server"
            ) from error
    except asyncio.CancelledError:
        pass  # a signal came before the work began
    return ending.manifest()


async def _check_server() -> None:
    async with get_client() as client:
        if error := await client.api_healthcheck():
            raise SetupError(
                hide_users(f"The Prefect server at {client.api_url} does not answer ({error}). Start it, ")
                + "or unset PREFECT_API_URL to run without Prefect"
            )


class _Ending:
    """How a production ended, kept here because Prefect does not return it after every failure."""

    def __init__(self) -> None:
        self.is_known = False
        self._manifest: Manifest | None = None
        self._error: Exception | None = None

    async def of(self, work: Coroutine[Any, Any, Manifest]) -> State[Any]:
        """Await the work, and return the state in which the flow run ends."""
        try:
            self._manifest = await work
            return final_state(self._manifest)
        except asyncio.CancelledError:
            return Cancelled(message="Stopped by a signal; run the same command again to continue")
        except Exception as error:  # noqa: BLE001 -- raised again outside of the flow
            self._error = error
            return Failed(message=str(error))
        finally:
            self.is_known = True

    def manifest(self) -> Manifest | None:
        """Return the manifest, or raise the error that prevented it."""
        if self._error:
            raise self._error
        return self._manifest
