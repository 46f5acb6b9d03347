"""Make clips that are independent of each other: from text, from one image, or from two."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from prefect_seedance import (
    Budget,
    ClipList,
    Hosting,
    Loading,
    Manifest,
    RetryPolicy,
    Waiting,
    options,
    produce,
)
from prefect_seedance.options import options_from
from prefect_seedance.orchestration.states import explained, final_state, named_after

_HOSTING, _WAITING = Hosting(), Waiting()


@flow(name="generate-clips", flow_run_name=named_after("clips"))
@explained
async def generate_clips(
    clips: Annotated[str, Field(title="Path or URL")] | ClipList,
    archive: options.Archive = "",
    name: options.ProductionName = "",
    credentials: options.CredentialsName = "",
    deadline_seconds: options.Deadline = _WAITING.deadline_seconds,
    images_url: options.ImagesUrl = _HOSTING.images_url,
    images_lifetime_seconds: options.ImagesLifetime = _HOSTING.images_lifetime_seconds,
    callback_url: options.CallbackUrl = _WAITING.callback_url,
    *,
    wait: options.Wait = _WAITING.wait,
    max_seconds: options.MaxSeconds = None,
    allow_outside: options.AllowOutside = False,
    retry_failed: options.RetryFailed = False,
    retry_rejected: options.RetryRejected = False,
) -> State[Manifest]:
    """Make the clips of a list that are not archived yet.

    Run the flow as often as you like. It ends in the same states as storyboard-to-transitions.

    Args:
        clips: A file on the worker, an https URL, or the list of clips itself.
    """
    parameters = locals()
    manifest = await produce(
        clips,
        archive=archive,
        name=name,
        credentials=credentials,
        loading=options_from(parameters, Loading),
        hosting=options_from(parameters, Hosting),
        retry=options_from(parameters, RetryPolicy),
        budget=options_from(parameters, Budget),
        waiting=options_from(parameters, Waiting),
        on_incomplete="return",
    )
    return final_state(manifest)
