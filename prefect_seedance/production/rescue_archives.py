"""Archive the paid clips of several archives, those first whose links expire first."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from prefect_seedance.clips.history import ClipHistory
from prefect_seedance.errors import ArchiveError, SeedanceError
from prefect_seedance.printable import get_logger
from prefect_seedance.production.oldest_first import OldestFirst
from prefect_seedance.production.rescue import Rescuer
from prefect_seedance.production.session import (
    OpenArchive,
    Session,
    archive_from_env,
    is_missing_folder,
    no_archive,
    open_archive,
)
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.rescued import RescuedArchive

_SURVEY_SECONDS = 60.0
"""How long the first clips wait until all archives are read; those of a slower archive come later."""

OpenSteps = Callable[[RunSettings], AbstractAsyncContextManager[PlainSteps]]
"""Opens a session for the archive in the settings, and the steps in it."""

_log = get_logger(__name__)


class Rescued(NamedTuple):
    """What a rescue did.

    Attributes:
        archives: The account of each, in order, without those that were named twice.
        prompts: Of the clips, by fingerprint, so that messages can omit them.
    """

    archives: Sequence[RescuedArchive]
    prompts: Mapping[str, str]


def plain_steps(opener: OpenArchive = open_archive) -> OpenSteps:
    """Return what opens sessions without Prefect."""

    @asynccontextmanager
    async def opened(settings: RunSettings) -> AsyncIterator[PlainSteps]:
        async with Session.open(settings, open_archive=opener) as session:
            yield PlainSteps(session=session, settings=settings)

    return opened


async def rescue_archives(
    archives: Sequence[str], settings: RunSettings, *, open_steps: OpenSteps
) -> Rescued:
    """Archive every paid clip of several archives that is not archived yet.

    An archive that cannot be read stops no other. All have one account, with its limits, and one deadline.

    Args:
        archives: Each a folder's path, a URL or ``block:NAME``; by default the one of ``SEEDANCE_ARCHIVE``.
        settings: Of the run.
        open_steps: Opens a session for each archive.

    Raises:
        SetupError: If there is only one archive, and it cannot be opened.
        ArchiveError: If there is only one archive, and it cannot be read.
    """
    named = list(dict.fromkeys(archives)) or [""]
    rescue = Rescue(settings=settings, open_steps=open_steps, unread=len(named))
    wait_seconds = min(_SURVEY_SECONDS, settings.waiting.deadline_seconds / 4)  # so that time is left
    timer = asyncio.get_running_loop().call_later(wait_seconds, rescue.turns.open)
    try:
        found = await asyncio.gather(
            *map(rescue.rescue if len(named) == 1 else rescue.rescue_or_explain, named)
        )
    finally:
        timer.cancel()
    return Rescued([each for each in found if each], rescue.prompts)


@dataclass(kw_only=True)
class Rescue:
    """One rescue of several archives.

    Attributes:
        unread: How many archives are not read yet.
        turns: Of all clips; they begin once all archives are read.
        stores: URLs of the archives that are open, which may have several names.
        prompts: Of the clips that were found, by fingerprint.
        deadline: By the event loop's clock.
    """

    settings: RunSettings
    open_steps: OpenSteps
    unread: int
    turns: OldestFirst = field(default_factory=lambda: OldestFirst(is_open=False))
    stores: set[str] = field(default_factory=set)
    prompts: dict[str, str] = field(default_factory=dict)
    deadline: float = 0.0

    def __post_init__(self) -> None:
        self.deadline = asyncio.get_running_loop().time() + self.settings.waiting.deadline_seconds

    async def rescue_or_explain(self, archive: str) -> RescuedArchive | None:
        """Rescue the clips of an archive as `rescue` does, or return why it cannot be read."""
        try:
            return await self.rescue(archive)
        except Exception as error:  # noqa: BLE001 -- becomes the line of this archive alone
            if not isinstance(error, SeedanceError):
                _log.exception("The archive %s could not be rescued", archive)
            return RescuedArchive(archive=archive, problem=str(error), cause=type(error).__name__)

    async def rescue(self, archive: str) -> RescuedArchive | None:
        """Rescue the clips of an archive; return None if it is already open under another name.

        Raises:
            SetupError: If it cannot be opened.
            ArchiveError: If it cannot be read.
        """
        is_read = False
        try:
            named = archive or archive_from_env()
            if is_missing_folder(named):
                raise no_archive(named)
            async with AsyncExitStack() as stack:
                async with self._time_to_read(named):
                    settings = replace(self.settings, archive=named)
                    steps = await stack.enter_async_context(self.open_steps(settings))
                    if steps.session.store.url in self.stores:
                        return None
                    self.stores.add(steps.session.store.url)
                    rescuer = Rescuer(
                        session=steps.session, steps=steps, deadline=self.deadline, turns=self.turns
                    )
                    lost = await rescuer.find_lost()
                    self.prompts |= {each.fingerprint: _prompt(each) for each in lost}
                is_read = True
                clips = await rescuer.rescue_lost(lost, on_queued=self._note_read)
            return RescuedArchive(archive=named, clips=tuple(clips))
        finally:
            if not is_read:
                self._note_read()

    @asynccontextmanager
    async def _time_to_read(self, archive: str) -> AsyncIterator[None]:
        """Bound the time in which an archive may be read, which is long enough also with a short deadline."""
        latest = max(self.deadline, asyncio.get_running_loop().time() + _SURVEY_SECONDS)
        try:
            async with asyncio.timeout_at(latest):
                yield
        except TimeoutError:
            raise ArchiveError(
                f"{archive} did not answer before the deadline; check it, and run again"
            ) from None

    def _note_read(self) -> None:
        self.unread -= 1
        if not self.unread:
            self.turns.open()


def _prompt(history: ClipHistory) -> str:
    return history.attempts[-1].intent.request.input.prompt if history.attempts else ""
