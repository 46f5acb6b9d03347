"""A production on a schedule: this process serves a deployment, and runs it every night.

It reads SEEDANCE_API_KEY and SEEDANCE_ARCHIVE from the environment, and needs a Prefect server. Start it in
the folder of the storyboard.
"""

from prefect import flow

from prefect_seedance import Waiting, produce


@flow
async def nightly(storyboard: str) -> None:
    """Make the clips that the archive lacks; an unchanged storyboard costs nothing."""
    await produce(storyboard, waiting=Waiting(deadline_seconds=7200))


if __name__ == "__main__":
    nightly.serve(name="nightly", cron="0 2 * * *", parameters={"storyboard": "storyboard.yaml"}, limit=1)
