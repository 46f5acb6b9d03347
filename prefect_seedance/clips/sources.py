"""Download a video from any of the links that the API gives for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from prefect_seedance.api import wall_clock
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.clips.records import Attempt, Outcome
from prefect_seedance.doors import run
from prefect_seedance.errors import (
    ArchiveError,
    LinkExpiredError,
    SeedanceError,
    TemporaryFileError,
    may_retry_read,
)
from prefect_seedance.printable import get_logger
from prefect_seedance.video.decoding import Examination

_log = get_logger(__name__)

_MAX_LINKS = 16
"""Links that are tried of one answer, which may contain thousands. The API gives one."""


_MAX_PAUSE_SECONDS = 10.0
"""Longest pause before the links of a new video are tried again."""

_NEW = timedelta(minutes=30)
"""How long after its acceptance or its end a generation's file may still be missing; both times are compared,
because the API's clock may be wrong."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The links of a video: those that the ledger recorded, then those of one new status read.

    Attributes:
        decode: Decodes a whole video, and returns what that shows.
        settling_seconds: How long to try again if no link serves a new video whole: the API may report
            success before its file host has the file.
    """

    client: SeedanceClient
    downloader: Downloader
    settling_seconds: float
    decode: Callable[[BinaryIO], Awaitable[Examination]]

    async def fetch(self, attempt: Attempt, file: BinaryIO, *, deadline: float) -> tuple[str, Examination]:
        """Download the video into a file from the first link that serves it, and return digest and facts.

        A link fails for itself alone, whatever the reason. If all fail, the file has the bytes that arrived
        last. As long as none serves a new video, all are tried again for a while.

        Args:
            attempt: With a successful outcome.
            file: Its content is replaced.
            deadline: By the event loop's clock; nothing is tried again after it.

        Raises:
            LinkExpiredError: No link serves the video, and the API no longer keeps it.
            TemporaryFileError: The file cannot be written.
            ArchiveError: No link serves the video now; of the class of the last failure.
        """
        clock, pause = asyncio.get_running_loop().time, 1.0
        latest = min(deadline, clock() + self.settling_seconds) if _is_new(attempt) else clock()
        while True:
            try:
                return await self._fetch(attempt, file)
            except ArchiveError as error:
                if clock() + pause >= latest or not _may_appear(error.__cause__):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _fetch(self, attempt: Attempt, file: BinaryIO) -> tuple[str, Examination]:
        """Try each link once."""
        file.seek(0)
        file.truncate()
        links, unread, tried = attempt.outcome.result_urls if attempt.outcome else (), "", 0
        failure: Exception = LinkExpiredError("the API returns no link")
        for is_fresh in (False, True):
            if is_fresh:
                links, unread = await self._fresh_links(attempt)
            for url in links[:_MAX_LINKS]:
                tried += 1
                try:
                    sha256 = await self.downloader.fetch(url, file)
                    return sha256, await self.decode(file)
                except TemporaryFileError:
                    raise
                except Exception as error:  # noqa: BLE001 -- the next link may serve the video
                    failure = error
                    _log_unexpected(attempt, error)
        found = f"{failure} ({tried} {'source' if tried == 1 else 'sources'} tried{unread})"
        raise _final(attempt, failure, found) from failure

    async def _fresh_links(self, attempt: Attempt) -> tuple[tuple[str, ...], str]:
        """Return the links of a new status read; if it fails, none, and why."""
        try:
            generation = await self.client.status(
                attempt.generation_id, model=attempt.intent.model, base_url=attempt.intent.base_url
            )
        except SeedanceError as error:
            return (), f"; no new link: {error}"
        return generation.result_urls, ""


def expiry(outcome: Outcome | None, *, archive: str) -> str:
    """Return until when a video can be archived, and how, to end a message with.

    Args:
        outcome: Of the attempt that succeeded.
        archive: The archive, as commands name it.
    """
    again = f"run again, or {run('rescue', archive)}"
    expires_at = outcome.expires_at if outcome else None
    if expires_at is None:
        return again
    if _is_past(expires_at):
        return f"its link expired at {_minute(expires_at)}; {again}, which may still succeed"
    return f"its link expires at {_minute(expires_at)}; before then, {again}"


def is_lost(outcome: Outcome | None, error: BaseException) -> bool:
    """Return whether an error of archiving is final, because the API no longer keeps the video."""
    expires_at = outcome.expires_at if outcome else None
    return isinstance(error, LinkExpiredError) and (expires_at is None or _is_past(expires_at))


def _is_new(attempt: Attempt) -> bool:
    """Return whether the API may have reported success before its file host serves the video."""
    if attempt.acceptance is None or attempt.outcome is None:
        return False
    expires_at = attempt.outcome.expires_at
    is_kept = expires_at is None or not _is_past(expires_at)
    latest = max(attempt.acceptance.accepted_at, attempt.outcome.ended_at)
    return is_kept and latest > wall_clock.now() - _NEW


def _may_appear(failure: BaseException | None) -> bool:
    """Return whether a link that failed may serve the whole video later."""
    return isinstance(failure, LinkExpiredError) or (failure is not None and may_retry_read(failure))


def _final(attempt: Attempt, failure: Exception, found: str) -> ArchiveError:
    """Return the error that no link serves the video: for good, if the API no longer keeps it."""
    name, expires_at = attempt.intent.name, attempt.outcome.expires_at if attempt.outcome else None
    if expires_at and _is_past(expires_at):
        return LinkExpiredError(
            f"{name} is lost: the API kept its video until {_minute(expires_at)}, and no link works any "
            f"more: {found}. If this machine was offline, run again; otherwise ask the provider for the "
            f"video of generation {attempt.generation_id}, which is paid"
        )
    kind = type(failure) if isinstance(failure, ArchiveError) else ArchiveError
    return kind(f"{name}: {found}")


def _is_past(moment: datetime) -> bool:
    return moment <= wall_clock.now()


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _log_unexpected(attempt: Attempt, error: Exception) -> None:
    if not isinstance(error, SeedanceError):
        _log.error("A link of %s failed unexpectedly", attempt.intent.name, exc_info=error)
