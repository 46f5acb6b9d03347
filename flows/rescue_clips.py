"""Archive paid clips that are not archived yet."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from prefect_seedance import Waiting, options
from prefect_seedance.orchestration.blocks import find_credentials
from prefect_seedance.orchestration.rescue import rescue_archives
from prefect_seedance.orchestration.states import explained, rescued_state
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.rescued import RescuedArchive

_WAITING = Waiting()


@flow(name="rescue-clips", flow_run_name="rescue clips")
@explained
async def rescue_clips(
    archive: options.Archive | Annotated[list[str], Field(title="Archives")] = "",
    credentials: options.CredentialsName = "",
    deadline_seconds: options.Deadline = _WAITING.deadline_seconds,
) -> State[list[RescuedArchive]]:
    """Archive every paid clip that is not archived yet, whatever the storyboards contain today.

    It buys nothing, and begins with the clips whose links expire first. It fails if a submission is
    unresolved, a clip could not be archived or an archive could not be read, and ends in the state InFlight
    if generations are still in flight.

    Args:
        archive: One archive, or several, of which an unreadable one stops no other.
    """
    settings = RunSettings(
        credentials=await find_credentials(credentials), waiting=Waiting(deadline_seconds=deadline_seconds)
    )
    archives = [archive] if isinstance(archive, str) else archive
    return rescued_state(list(await rescue_archives(archives, settings)))
