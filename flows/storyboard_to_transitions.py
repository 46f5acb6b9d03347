"""Turn a storyboard into clips: each image and the next become the two ends of one."""

from typing import Annotated

from prefect import flow
from prefect.states import State
from pydantic import Field

from prefect_seedance import Manifest, Policy, Storyboard, produce
from prefect_seedance.reporting import final_state


@flow(name="storyboard-to-transitions", flow_run_name="produce {name}")
async def storyboard_to_transitions(
    storyboard: Annotated[
        str | Storyboard, Field(description="A storyboard's path or https URL, or the storyboard itself.")
    ],
    archive: Annotated[
        str, Field(description="Where clips go: a folder's path, or s3://, gs://, az:// with a bucket.")
    ],
    name: Annotated[str, Field(description="Names the production; left out, its title does.")] = "",
    credentials: Annotated[
        str, Field(description="Name of a Seedance Credentials block; left out, SEEDANCE_API_KEY holds.")
    ] = "",
    deadline_seconds: Annotated[
        float, Field(gt=0, description="How long to wait in all; what is in flight then goes on.")
    ] = 3600,
    images_url: Annotated[
        str, Field(description="Where the archive's images folder can be fetched, if it is no bucket.")
    ] = "",
    policy: Annotated[Policy, Field(description="Which failed clips to pay for again.")] = Policy(),
) -> State[Manifest]:
    """Make all clips of a storyboard that the archive lacks.

    Run it as often as you like: what exists is reused, what is under way is waited for, and only what is
    missing is bought. Its result is the manifest; it fails if a clip did.
    """
    manifest = await produce(
        storyboard,
        archive=archive,
        name=name,
        credentials=credentials,
        deadline_seconds=deadline_seconds,
        images_url=images_url,
        policy=policy,
    )
    return final_state(manifest)
