"""Make clips that do not belong together: from words, from one image, or from two."""

from typing import Annotated

from prefect import flow
from prefect.states import State
from pydantic import Field

from prefect_seedance import ClipList, Manifest, Policy, produce
from prefect_seedance.reporting import final_state


@flow(name="generate-clips", flow_run_name="generate {name}")
async def generate_clips(
    clips: Annotated[
        str | ClipList, Field(description="A list's path or https URL, or the list of clips itself.")
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
    """Make all clips of a list that the archive lacks; run it as often as you like."""
    manifest = await produce(
        clips,
        archive=archive,
        name=name,
        credentials=credentials,
        deadline_seconds=deadline_seconds,
        images_url=images_url,
        policy=policy,
    )
    return final_state(manifest)
