"""Serve an archive's images, so that the API can fetch them without a bucket."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from prefect_seedance.cli.archives import open_to_plan
from prefect_seedance.cli.options import PLAIN, Archive
from prefect_seedance.cli.printing import command, show
from prefect_seedance.errors import SetupError
from prefect_seedance.receiver.images import IMAGES_PATH, create_images_app
from prefect_seedance.receiver.server import serve

app = App(
    name="serve-images",
    default_parameter=PLAIN,
    help_epilogue="It serves only the images, and the videos and audio files that are references, which runs "
    "have put into the archive, by their digests; it lists and changes nothing. The API fetches from the "
    "internet, so put a tunnel or a proxy with a public URL in front, and pass that URL, with /images, to "
    "runs as --images-url. Ctrl-C stops it.",
)


@app.default
def serve_images(
    archive: Archive,
    /,
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 picks a free port.")] = 8766,
) -> int:
    """Serve the images of an archive in a folder until stopped, and print their URL."""
    folder = asyncio.run(_folder(archive))

    def listening(address: str) -> None:
        empty = "" if (folder / "images").is_dir() else ", which has none until a run has put them there"
        show(f"Serving the images of {folder}{empty}, on {address}")
        show("Pass this option to runs, with the public URL of your tunnel in place of this machine's:")
        show(command(f"--images-url {address}{IMAGES_PATH}"))

    try:
        serve(create_images_app(folder / "images"), host=host, port=port, ready=listening)
    except OSError as error:
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port") from None
    return 0


async def _folder(archive: str) -> Path:
    """Return the archive's folder.

    Raises:
        SetupError: If the archive is a bucket.
    """
    store = await open_to_plan(archive)
    if store.folder is None:
        raise SetupError(
            f"The archive {store.name} is a bucket, which gives the API signed URLs; no server is needed"
        )
    return store.folder
