"""Turn a storyboard into clips, each image and the next the two ends of one, and these into a film."""

from typing import Annotated, Literal

from prefect import State, flow
from pydantic import Field

from prefect_seedance import Manifest, Output, RetryPolicy, Storyboard, Style, produce
from prefect_seedance.orchestration.reporting import final_state, named_after


@flow(name="storyboard-to-transitions", flow_run_name=named_after("storyboard"))
async def storyboard_to_transitions(
    storyboard: Annotated[str, Field(title="Path or URL")] | Storyboard,
    archive: str = "",
    name: str = "",
    prompt: str = "",
    credentials: str = "",
    deadline_seconds: Annotated[float, Field(gt=0)] = 3600,
    images_url: str = "",
    images_lifetime_seconds: Annotated[float, Field(gt=0, le=604800)] = 86400,
    callback_url: str = "",
    *,
    wait: bool = True,
    film: Literal["auto", "exact", "none"] = "auto",
    gaps: Literal["skip", "slate"] = "skip",
    min_seam: Annotated[float, Field(ge=0, le=1)] = 0.0,
    allow_outside: bool = False,
    retry_failed: bool = False,
    retry_rejected: bool = False,
) -> State[Manifest]:
    """Make all clips of a storyboard that the archive lacks, and join them to a film.

    Run it as often as you like: what exists is reused, what is under way is waited for, and only what is
    missing is bought. It ends Completed when all clips are archived, InFlight (a kind of Completed) when
    some are still being generated at the deadline, and Failed when something has to be mended.

    Args:
        storyboard: A file or a folder of images on the worker, an https URL, or the storyboard itself.
        archive: A folder's path, s3://, gs://, az:// with a bucket, or block:NAME. Left out, the worker's
            SEEDANCE_ARCHIVE holds.
        name: Names the production. Left out, the storyboard's title does.
        prompt: What happens between the images, if the storyboard is a folder of them.
        credentials: Name of a Seedance Credentials block. Left out, the worker's SEEDANCE_API_KEY holds.
        deadline_seconds: How long to wait in all. What is in flight goes on, and the next run takes it in.
        images_url: Where the archive's images folder can be fetched, for local images in no bucket.
        images_lifetime_seconds: How long the API can fetch local images from a bucket, at most 7 days.
        callback_url: Public address of a receiver of callbacks. Left out, the run looks for itself.
        wait: Wait for what is in flight. Otherwise the run ends InFlight, and a later one archives it.
        film: auto joins clips that are alike untouched; exact encodes all anew; none joins nothing.
        gaps: Where a clip is missing, go on with the next, or show a slate as long as it would last.
        min_seam: How alike a clip's ends must be to their images and neighbours, from 0 to 1; a clip that
            falls short has failed, and stays in the film. 0 demands nothing.
        allow_outside: Permit images outside the storyboard's folder, by absolute path.
        retry_failed: Pay again for clips that failed, but not for their content.
        retry_rejected: Pay again for clips whose content was rejected.
    """
    manifest = await produce(
        storyboard,
        archive=archive,
        name=name,
        prompt=prompt,
        credentials=credentials,
        deadline_seconds=deadline_seconds,
        images_url=images_url,
        images_lifetime_seconds=images_lifetime_seconds,
        allow_outside=allow_outside,
        callback_url=callback_url,
        wait=wait,
        policy=RetryPolicy(retry_failed=retry_failed, retry_rejected=retry_rejected),
        presentation=Output(
            film=film != "none",
            style=Style(join="exact" if film == "exact" else "auto", gaps=gaps),
            min_seam=min_seam,
        ),
    )
    return final_state(manifest)
