"""Make clips that do not belong together: from words, from one image, or from two."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from prefect_seedance import ClipList, Manifest, RetryPolicy, produce
from prefect_seedance.orchestration.reporting import final_state, named_after


@flow(name="generate-clips", flow_run_name=named_after("clips"))
async def generate_clips(
    clips: Annotated[str, Field(title="Path or URL")] | ClipList,
    archive: str = "",
    name: str = "",
    credentials: str = "",
    deadline_seconds: Annotated[float, Field(gt=0)] = 3600,
    images_url: str = "",
    images_lifetime_seconds: Annotated[float, Field(gt=0, le=604800)] = 86400,
    callback_url: str = "",
    *,
    wait: bool = True,
    allow_outside: bool = False,
    retry_failed: bool = False,
    retry_rejected: bool = False,
) -> State[Manifest]:
    """Make all clips of a list that the archive lacks.

    Run it as often as you like, as storyboard-to-transitions, which ends in the same states.

    Args:
        clips: A file on the worker, an https URL, or the list of clips itself.
        archive: A folder's path, s3://, gs://, az:// with a bucket, or block:NAME. Left out, the worker's
            SEEDANCE_ARCHIVE holds.
        name: Names the production. Left out, the list's title does.
        credentials: Name of a Seedance Credentials block. Left out, the worker's SEEDANCE_API_KEY holds.
        deadline_seconds: How long to wait in all. What is in flight goes on, and the next run takes it in.
        images_url: Where the archive's images folder can be fetched, for local images in no bucket.
        images_lifetime_seconds: How long the API can fetch local images from a bucket, at most 7 days.
        callback_url: Public address of a receiver of callbacks. Left out, the run looks for itself.
        wait: Wait for what is in flight. Otherwise the run ends InFlight, and a later one archives it.
        allow_outside: Permit images outside the list's folder, by absolute path.
        retry_failed: Pay again for clips that failed, but not for their content.
        retry_rejected: Pay again for clips whose content was rejected.
    """
    manifest = await produce(
        clips,
        archive=archive,
        name=name,
        credentials=credentials,
        deadline_seconds=deadline_seconds,
        images_url=images_url,
        images_lifetime_seconds=images_lifetime_seconds,
        allow_outside=allow_outside,
        callback_url=callback_url,
        wait=wait,
        policy=RetryPolicy(retry_failed=retry_failed, retry_rejected=retry_rejected),
    )
    return final_state(manifest)
