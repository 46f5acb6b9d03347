"""Turn a storyboard into clips, one for each pair of consecutive images, and join them into a film."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from prefect_seedance import (
    Budget,
    Hosting,
    Loading,
    Manifest,
    Output,
    RetryPolicy,
    Storyboard,
    Waiting,
    options,
    produce,
)
from prefect_seedance.options import options_from
from prefect_seedance.orchestration.states import explained, final_state, named_after

_HOSTING, _OUTPUT, _WAITING = Hosting(), Output(), Waiting()


@flow(name="storyboard-to-transitions", flow_run_name=named_after("storyboard"))
@explained
async def storyboard_to_transitions(
    storyboard: Annotated[str, Field(title="Path or URL")] | Storyboard,
    archive: options.Archive = "",
    name: options.ProductionName = "",
    prompt: options.Prompt = "",
    credentials: options.CredentialsName = "",
    deadline_seconds: options.Deadline = _WAITING.deadline_seconds,
    images_url: options.ImagesUrl = _HOSTING.images_url,
    images_lifetime_seconds: options.ImagesLifetime = _HOSTING.images_lifetime_seconds,
    callback_url: options.CallbackUrl = _WAITING.callback_url,
    *,
    wait: options.Wait = _WAITING.wait,
    max_seconds: options.MaxSeconds = None,
    film: options.Film = True,
    join: options.Join = _OUTPUT.join,
    gaps: options.Gaps = _OUTPUT.gaps,
    crossfade_seconds: options.Crossfade = _OUTPUT.crossfade_seconds,
    min_similarity: options.MinSimilarity = _OUTPUT.min_similarity,
    allow_outside: options.AllowOutside = False,
    retry_failed: options.RetryFailed = False,
    retry_rejected: options.RetryRejected = False,
    duration: options.FolderDuration = None,
    resolution: options.FolderResolution = "",
    aspect_ratio: options.FolderRatio = "",
    sound: options.FolderSound = False,
) -> State[Manifest]:
    """Make the clips of a storyboard that are not archived yet, and join all its clips into a film.

    Run the flow as often as you like: it reuses archived clips, waits for generations in flight, and pays
    only for missing clips. It ends as Completed if all clips are archived, as InFlight (a Completed state) if
    generations are still in flight, and as Failed if something needs your attention.

    Args:
        storyboard: A file or a folder of images on the worker, an https URL, or the storyboard itself.
    """
    parameters = locals()
    manifest = await produce(
        storyboard,
        archive=archive,
        name=name,
        credentials=credentials,
        loading=options_from(parameters, Loading),
        hosting=options_from(parameters, Hosting),
        retry=options_from(parameters, RetryPolicy),
        budget=options_from(parameters, Budget),
        waiting=options_from(parameters, Waiting),
        output=options_from(parameters, Output),
        on_incomplete="return",
    )
    return final_state(manifest)
