"""Archive paid clips that are not archived yet."""

import asyncio

from prefect import State, flow

from prefect_seedance import Waiting, options
from prefect_seedance.orchestration.blocks import find_credentials
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.orchestration.states import explained, rescued_state
from prefect_seedance.orchestration.steps import TaskSteps
from prefect_seedance.production.rescue import Rescuer
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.paid_clip import PaidClip

_WAITING = Waiting()


@flow(name="rescue-clips", flow_run_name="rescue clips")
@explained
async def rescue_clips(
    archive: options.Archive = "",
    credentials: options.CredentialsName = "",
    deadline_seconds: options.Deadline = _WAITING.deadline_seconds,
) -> State[list[PaidClip]]:
    """Archive every paid clip that is not archived yet, whatever the storyboards contain today.

    It buys nothing. It fails if a submission is unresolved or a clip could not be archived, and ends in the
    state InFlight if generations are still in flight.
    """
    settings = RunSettings(
        credentials=await find_credentials(credentials),
        archive=archive,
        waiting=Waiting(deadline_seconds=deadline_seconds),
    )
    deadline = asyncio.get_running_loop().time() + deadline_seconds
    async with shared_session(settings) as shared:
        steps = TaskSteps.of(shared, settings)
        clips = await Rescuer(session=shared.session, steps=steps, deadline=deadline).rescue_all()
    return rescued_state(list(clips))
