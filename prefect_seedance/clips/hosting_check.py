"""Check that hosted files can be fetched by their public URLs, before anything is spent."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import httpx

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.resource import fetch
from prefect_seedance.api.urls import is_loopback, shown_url
from prefect_seedance.clips.image_hosting import ImageHost, hosted_key, media_type
from prefect_seedance.doors import option
from prefect_seedance.errors import ConnectionFailedError, SeedanceError, SetupError
from prefect_seedance.storyboard.source_file import SourceFile

_SECONDS: Final = 10.0
"""Bound of fetching one file."""

_ALL_SECONDS: Final = 30.0
"""Bound of checking all URLs. A URL without an answer by then counts as one that may work."""

_AT_ONCE: Final = 8

_GONE: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})


async def check_hosting(
    host: ImageHost, files: Iterable[SourceFile], policy: HostPolicy, *, upload: bool = True
) -> str:
    """Host the smallest local file of each kind, fetch it by its public URL, and compare the bytes.

    Args:
        host: With the public URL of the archive's images folder. Without one, nothing is checked: a bucket
            signs URLs itself.
        files: Those that the run needs.
        policy: Which hosts may be read from.
        upload: Whether to store the image; otherwise, one that is not stored need not be there yet.

    Returns:
        A warning if the URL cannot be reached from here (the API may still reach it), or an empty string.

    Raises:
        SetupError: If the URL leads to nothing or to something else, or nothing serves it on this machine.
    """
    smallest: dict[str, SourceFile] = {}
    for file in sorted(files, key=lambda file: file.size_bytes or 0):
        if file.is_local:
            smallest.setdefault(media_type(file).partition("/")[0], file)
    for kind, file in smallest.items() if host.images_url else ():
        if warning := await _check(host, file, kind, policy, upload=upload):
            return warning
    return ""


async def _check(host: ImageHost, file: SourceFile, kind: str, policy: HostPolicy, *, upload: bool) -> str:
    noun = "image" if kind == "image" else f"{kind} file"
    url = await host.host(file) if upload else host.public_url(file)
    expected = await host.store.read(hosted_key(file)) or b""
    try:
        found = await fetch(url, policy=policy, max_bytes=len(expected), timeout_seconds=_SECONDS)
    except ConnectionFailedError as error:
        if is_loopback(httpx.URL(url).host):
            raise SetupError(
                f"Nothing serves images at {shown_url(host.images_url)} ({error}), so nothing was spent. "
                f"Start `prefect-seedance serve-images {host.store.name}`, or correct {option('images_url')}"
            ) from error
        return _unknown(url, noun, str(error))
    except SeedanceError as error:
        return _unknown(url, noun, str(error))
    if not expected:
        return ""
    if found.status_code in _GONE or (found.is_success and found.content != expected):
        fault = "serves something else" if found.is_success else f"answers {found.status_code}"
        raise SetupError(
            f"{shown_url(url)} {fault}, so the API could not fetch the {noun}, and nothing was spent. Check "
            f"{option('images_url')}: it must be the public URL of the folder {host.store.url}/images"
        )
    return "" if found.is_success else _unknown(url, noun, f"it answers {found.status_code}")


def _unknown(url: str, noun: str, reason: str) -> str:
    return (
        f"The {noun} at {shown_url(url)} cannot be fetched from here ({reason}). If the API cannot fetch it "
        f"either, its generations fail; check {option('images_url')}"
    )


async def check_again(urls: Sequence[str], policy: HostPolicy) -> None:
    """Check URLs of files that the API could not fetch, before paying for another attempt.

    Raises:
        SetupError: If one of them still leads to nothing.
    """
    readers = asyncio.Semaphore(_AT_ONCE)

    async def is_gone(url: str) -> bool:
        async with readers:
            try:
                found = await fetch(url, policy=policy, max_bytes=0, timeout_seconds=_SECONDS)
            except SeedanceError:
                return False  # unknown from here
        return found.status_code in _GONE

    checks = {url: asyncio.create_task(is_gone(url)) for url in dict.fromkeys(urls)}
    if not checks:
        return
    try:
        await asyncio.wait(checks.values(), timeout=_ALL_SECONDS)
        gone = [url for url, check in checks.items() if check.done() and check.result()]
    finally:
        for check in checks.values():
            check.cancel()
    if gone:
        raise SetupError(
            f"The API could not fetch {shown_url(gone[0])}, and it still leads to nothing, so nothing was "
            "spent. Correct the URL in the storyboard"
        )
