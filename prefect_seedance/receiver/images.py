"""Serve the hosted files of an archive's folder, and nothing else, where the API can fetch them."""

import re
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

IMAGES_PATH: Final = "/images"

_HOSTED: Final = re.compile(r"[0-9a-f]{64}(-[a-z0-9-]+)?\.[a-z][a-z0-9]*")
"""The names of hosted files. They are digests, so only those who know a file can ask for it."""

_HEADERS: Final = {"Cache-Control": "public, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


def create_images_app(folder: Path) -> Starlette:
    """Return an application that sends the hosted files in a folder, by name; it lists and changes nothing.

    Args:
        folder: The archive's ``images`` folder; it may be created later.
    """

    async def image(request: Request) -> FileResponse:
        name = request.path_params["name"]
        path = folder / name
        if not _HOSTED.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers=_HEADERS)

    return Starlette(routes=[Route(f"{IMAGES_PATH}/{{name}}", image, methods=["GET", "HEAD"])])
