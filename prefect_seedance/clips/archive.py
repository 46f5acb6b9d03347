"""Bring a finished video into the archive, verified, once."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import SEEK_END
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.records import Attempt, clip_prefix
from prefect_seedance.errors import ArchiveError, DeadlineError, IntegrityError, LinkExpiredError
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import temporary_file, translated_errors
from prefect_seedance.video.probe import VideoFacts, probe

_RATIO_TOLERANCE = 0.025
"""Sizes are whole blocks of pixels, so ratios are never exact: 864×496 for 16:9 is 2.02 % off."""

_DURATION_TOLERANCE_SECONDS = 0.5
_AREA_TOLERANCE = 0.15
_DIGEST_DIGITS = 12
"""Of a video's SHA-256, in its name: enough to tell the few apart that rivals may be served for one clip."""

_VIDEO = re.compile(r"/clip-[0-9a-f]+\.mp4$")
_AT_ONCE = 8
"""Enough to fill a line; few enough that each is done soon, and that files and memory suffice."""


class Clip(BaseModel):
    """An archived video: where it is, what it is and where it came from.

    Attributes:
        key: Where in the archive the video lies.
        sha256: Of the video, in hex.
        facts: What the video is.
        findings: How that differs from what was asked.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fingerprint: str
    name: str
    key: str
    sha256: str
    size_bytes: int
    facts: VideoFacts
    findings: tuple[str, ...]
    attempt: int
    generation_id: str
    model: str
    base_url: str
    request: GenerateRequest
    archived_at: datetime


@dataclass(frozen=True, kw_only=True)
class Archivist:
    """Archives clips of one account in one store, some at a time."""

    store: Store
    client: SeedanceClient
    downloader: Downloader
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _decoders: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="seedance-decoder")
    )

    async def archive(self, attempt: Attempt, *, deadline: float) -> Clip:
        """Fetch, verify and store the video of an attempt that succeeded, unless that has been done.

        The video waits in an unnamed temporary file until it is verified, so whatever dies leaves
        nothing behind; the archive gets it whole or not at all, and its record last. A record never
        changes, and nor do the bytes it tells of: the video's name begins its digest.

        Args:
            attempt: With a successful outcome.
            deadline: By the event loop's clock.

        Raises:
            LinkExpiredError: If the API does not serve the video any more.
            IntegrityError: If what it serves stays incomplete or undecodable.
            DeadlineError: If the deadline came first; run again to continue.
            ArchiveError: If the archive cannot be written.
        """
        fingerprint = attempt.intent.fingerprint
        if clip := await find_clip(self.store, fingerprint):
            return clip
        try:
            async with asyncio.timeout_at(deadline), self._gate:
                with temporary_file() as file:
                    return await self._bring(attempt, file)
        except TimeoutError:
            raise DeadlineError(
                f"{attempt.intent.name} is made but not archived yet; run the same again to fetch it"
            ) from None

    async def _bring(self, attempt: Attempt, file: BinaryIO) -> Clip:
        intent = attempt.intent
        if found := await self._recovered(intent.fingerprint, file):
            sha256, facts = found
        else:
            sha256, facts = await self._verified(attempt, file)
            await self._store(intent.fingerprint, file, sha256=sha256)
        clip = Clip(
            fingerprint=intent.fingerprint,
            name=intent.name,
            key=_video_key(intent.fingerprint, sha256),
            sha256=sha256,
            size_bytes=file.seek(0, SEEK_END),
            facts=facts,
            findings=findings(intent.request.input, facts),
            attempt=intent.number,
            generation_id=attempt.generation_id,
            model=intent.model,
            base_url=intent.base_url,
            request=intent.request,
            archived_at=datetime.now(UTC),
        )
        record = clip.model_dump_json(indent=2).encode()
        if await self.store.create(_record_key(intent.fingerprint), record):
            return clip
        return await find_clip(self.store, intent.fingerprint) or clip  # another process was first

    async def _recovered(self, fingerprint: str, file: BinaryIO) -> tuple[str, VideoFacts] | None:
        """Take a video that is in the archive already, because a run died before it wrote the record."""
        for key in await self.store.keys(clip_prefix(fingerprint)):
            if not _VIDEO.search(key):
                continue
            sha256 = await self.store.fetch(key, file)
            if sha256 and key == _video_key(fingerprint, sha256):
                with suppress(IntegrityError):
                    return sha256, await self._probed(file)
        return None

    async def _store(self, fingerprint: str, file: BinaryIO, *, sha256: str) -> None:
        """Store a video under its own name, so that a rival that was served other bytes does no harm."""
        key = _video_key(fingerprint, sha256)
        await self.store.put(key, file, media_type="video/mp4", metadata={"sha256": sha256})
        if await self.store.size_bytes(key) != file.seek(0, SEEK_END):
            raise ArchiveError(f"{self.store.link(key)} has not the size of what was written; run again")

    async def _probed(self, file: BinaryIO) -> VideoFacts:
        """Decode the video in a thread that keeps nobody's record from being written."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, probe, file)

    async def _verified(self, attempt: Attempt, file: BinaryIO) -> tuple[str, VideoFacts]:
        """Fetch the video; if it stays broken, keep what there is beside the clip, for it was paid for."""
        try:
            return await self._fetch(attempt, file)
        except IntegrityError as error:
            kept = f"{clip_prefix(attempt.intent.fingerprint)}refused.mp4"
            await self.store.put(kept, file)
            raise IntegrityError(f"{error}. What was served is kept as {self.store.link(kept)}") from error

    async def _fetch(self, attempt: Attempt, file: BinaryIO) -> tuple[str, VideoFacts]:
        """Fetch until the bytes are good, over links as fresh as the API gives them."""
        trouble: ArchiveError = LinkExpiredError(f"{attempt.intent.name}: the API names no result")
        async for url in self._links(attempt):
            try:
                sha256 = await self.downloader.fetch(url, file)
                return sha256, await self._probed(file)
            except (LinkExpiredError, IntegrityError) as error:
                trouble = error
        raise trouble

    async def _links(self, attempt: Attempt) -> AsyncIterator[str]:
        """Yield the recorded links, and then twice what a new status read gives."""
        for url in attempt.outcome.result_urls if attempt.outcome else ():
            yield url
        for _ in range(2):
            generation = await self.client.status(
                attempt.generation_id, model=attempt.intent.model, base_url=attempt.intent.base_url
            )
            for url in generation.result_urls:
                yield url


async def find_clip(store: Store, fingerprint: str) -> Clip | None:
    """Return the archived clip with this fingerprint, if there is one."""
    key = _record_key(fingerprint)
    content = await store.read(key)
    if content is None:
        return None
    try:
        return Clip.model_validate_json(content)
    except ValidationError:
        raise ArchiveError(
            f"The record {store.link(key)} is damaged; delete it to fetch the clip anew"
        ) from None


async def fetch_video(store: Store, clip: Clip) -> BinaryIO:
    """Return an archived video in an unnamed temporary file, which vanishes when it is closed.

    Raises:
        IntegrityError: If it is gone, or is not what was archived.
        ArchiveError: If the archive cannot be read.
    """
    with translated_errors():
        file = tempfile.TemporaryFile(prefix="seedance-")  # noqa: SIM115 -- whoever asked closes it
    try:
        sha256 = await store.fetch(clip.key, file)
    except BaseException:
        file.close()
        raise
    if sha256 == clip.sha256:
        return file
    file.close()
    wrong = "is gone" if sha256 is None else "is not what was archived"
    raise IntegrityError(f"{store.link(clip.key)} {wrong}; bring it back from a copy")


def findings(asked: ClipInput, facts: VideoFacts) -> tuple[str, ...]:
    """Say how a video differs from what was asked, which never is a reason to throw it away."""
    wide, high = map(int, asked.aspect_ratio.split(":"))
    found: list[str] = []
    if abs(facts.duration_seconds - asked.duration) > _DURATION_TOLERANCE_SECONDS:
        found.append(f"lasts {facts.duration_seconds:.2f} s instead of {asked.duration} s")
    if abs(facts.width / facts.height / (wide / high) - 1) > _RATIO_TOLERANCE:
        found.append(f"is {facts.width}×{facts.height}, which is not {asked.aspect_ratio}")
    lines = int(asked.resolution.rstrip("p"))
    if (
        abs(facts.width * facts.height / (lines * lines * 16 / 9) - 1) > _AREA_TOLERANCE
    ):  # as many pixels as 16:9
        found.append(f"is {facts.width}×{facts.height}, which is not {asked.resolution}")
    if asked.sound and not facts.audio_codec:
        found.append("has no sound, which was asked for")
    if facts.audio_codec and not asked.sound:
        found.append("has an audio track, which was not asked for")
    return tuple(found)


def _record_key(fingerprint: str) -> str:
    return f"{clip_prefix(fingerprint)}clip.json"


def _video_key(fingerprint: str, sha256: str) -> str:
    return f"{clip_prefix(fingerprint)}clip-{sha256[:_DIGEST_DIGITS]}.mp4"
