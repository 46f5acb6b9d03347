"""Run a production in this process, without Prefect."""

import asyncio

from prefect_seedance.cli.archives import open_archive
from prefect_seedance.cli.progress import Screen
from prefect_seedance.cli.signals import Stop
from prefect_seedance.production.prepare import Prepared
from prefect_seedance.production.run import run
from prefect_seedance.production.session import Session
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Manifest


def run_plain(prepared: Prepared, screen: Screen) -> Manifest | None:
    """Run a prepared production.

    Returns:
        The manifest, or None if a signal stopped the run.
    """
    return asyncio.run(_run(prepared, screen))


async def _run(prepared: Prepared, screen: Screen) -> Manifest | None:
    stop = Stop(screen)
    try:
        return await stop.run(_produce(prepared, screen))
    except asyncio.CancelledError:
        return None


async def _produce(prepared: Prepared, screen: Screen) -> Manifest:
    async with Session.open(prepared.settings, open_archive=open_archive) as session:
        steps = PlainSteps(session=session, settings=prepared.settings)
        return await run(prepared, session=session, steps=steps, on_progress=screen.show, on_wait=screen.note)
