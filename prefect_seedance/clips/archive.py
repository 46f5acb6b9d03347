"""Download, verify and store a video."""

import asyncio
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from os import SEEK_END
from typing import BinaryIO

from prefect_seedance.api import wall_clock
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.record_format import Record, parse_record, serialize_record
from prefect_seedance.clips.records import Attempt, clip_prefix
from prefect_seedance.clips.sources import Sources, expiry, is_lost
from prefect_seedance.errors import ArchiveError, DeadlineError, IntegrityError, TemporaryFileError
from prefect_seedance.options import Waiting
from prefect_seedance.printable import one_line
from prefect_seedance.storage.file_names import download_name, safe_name
from prefect_seedance.storage.opened import open_object
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import temporary_file
from prefect_seedance.video.decoding import Examination, examine_foreign, probe_foreign
from prefect_seedance.video.facts import VideoFacts, detect_container
from prefect_seedance.video.kept_scans import KeptScans

_RATIO_TOLERANCE = 0.025
"""Sizes are multiples of a block of pixels, so ratios are not exact: 864×496 for 16:9 is 2.02 % off."""

_DURATION_TOLERANCE_SECONDS = 0.5
_AREA_TOLERANCE = 0.15
_DIGEST_DIGITS = 12
"""Digits of a video's SHA-256 in its name, to distinguish the few files that one clip may be served as."""

_VIDEO = re.compile(r"/clip-[0-9a-f]+\.mp4$")
CONCURRENT_DOWNLOADS = 8
"""Enough to use the bandwidth; few enough that each ends soon and that files and memory suffice."""


class Clip(Record):
    """The record of an archived video.

    Attributes:
        key: The video's key in the archive.
        sha256: Digest of the video, in hexadecimal.
        facts: Format, size and duration of the video.
        findings: Differences between the video and the request.
    """

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

    @property
    def label(self) -> str:
        """The name as one line, for names of runs and events."""
        return one_line(self.name)


@dataclass(frozen=True, kw_only=True)
class Archivist:
    """Archives clips of one account in one store, eight at a time.

    Attributes:
        scans: Keeps the scans of archived videos for their inspection, if they are wanted.
        settling_seconds: As in `Sources`.
    """

    store: Store
    client: SeedanceClient
    downloader: Downloader
    scans: KeptScans = field(default_factory=KeptScans)
    settling_seconds: float = Waiting().settling_seconds
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_DOWNLOADS))
    _decoders: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="seedance-decoder")
    )

    async def archive(self, attempt: Attempt, *, deadline: float) -> Clip:
        """Download, verify and store the video of a successful attempt, unless it is archived.

        The video is downloaded to an unnamed temporary file and verified there, so a crash leaves nothing
        behind. It is stored whole or not at all, and its record last. Neither a record nor its video ever
        changes: the video's name contains its digest.

        Args:
            attempt: With a successful outcome.
            deadline: By the event loop's clock.

        Raises:
            LinkExpiredError: The API does not serve the video.
            IntegrityError: The video stays incomplete or undecodable.
            DeadlineError: The deadline came first; run again to continue.
            ArchiveError: No link serves the video, or the archive or a temporary file cannot be written.
        """
        if clip := await find_clip(self.store, attempt.intent.fingerprint):
            return clip
        until = expiry(attempt.outcome, archive=self.store.name)
        try:
            async with asyncio.timeout_at(deadline), self._gate:
                with temporary_file() as file:
                    return await self._archive(attempt, file, deadline=deadline)
        except TimeoutError:
            raise DeadlineError(
                f"{attempt.intent.name} is generated and paid for, but was not archived before the deadline; "
                f"{until}"
            ) from None
        except ArchiveError as error:
            if is_lost(attempt.outcome, error):
                raise
            raise type(error)(f"{error}; {until}") from error

    async def _archive(self, attempt: Attempt, file: BinaryIO, *, deadline: float) -> Clip:
        intent = attempt.intent
        if found := await self._recovered(attempt, file):
            sha256, (facts, scan, _) = found
        else:
            sha256, (facts, scan, _) = await self._verified(attempt, file, deadline=deadline)
            await self._store(intent.fingerprint, file, sha256=sha256, name=intent.name)
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
            archived_at=wall_clock.now(),
        )
        if await self.store.create(_record_key(intent.fingerprint), serialize_record(clip)):
            if scan:
                self.scans.put(clip.key, scan)
            return clip
        return await find_clip(self.store, intent.fingerprint) or clip  # another process was first

    async def _recovered(self, attempt: Attempt, file: BinaryIO) -> tuple[str, Examination] | None:
        """Return a video that is stored already, because a run crashed before it wrote the record."""
        fingerprint = attempt.intent.fingerprint
        for key in await self.store.keys(clip_prefix(fingerprint)):
            if not _VIDEO.search(key):
                continue
            sha256 = await self.store.fetch(key, file)
            if sha256 and key == _video_key(fingerprint, sha256):
                with suppress(IntegrityError):
                    return sha256, await self._decode(attempt, file)
        return None

    async def _store(self, fingerprint: str, file: BinaryIO, *, sha256: str, name: str) -> None:
        """Store a video under its digest, so that a run that was served other bytes does not replace it."""
        key, metadata = _video_key(fingerprint, sha256), {"sha256": sha256}
        metadata |= download_name(f"{safe_name(name)}.mp4")
        await self.store.put(key, file, media_type="video/mp4", metadata=metadata)
        if await self.store.size_bytes(key) != file.seek(0, SEEK_END):
            raise ArchiveError(
                f"{self.store.link(key)} does not have the size of the video; run again to store it again"
            )

    async def _decode(self, attempt: Attempt, file: BinaryIO) -> Examination:
        """Decode the video in a child, whose thread has its own pool, so that ledger writes do not wait."""
        if not self.scans.are_wanted:
            return Examination(await probe_foreign(file, executor=self._decoders))
        has_images = bool(attempt.intent.request.input.image_urls)
        return await examine_foreign(file, wants_ends=has_images, executor=self._decoders)

    async def _verified(
        self, attempt: Attempt, file: BinaryIO, *, deadline: float
    ) -> tuple[str, Examination]:
        """Download and verify the video; if that fails, store what arrived, because it was paid for.

        Only a video is stored: other bytes may be a page that is not for everyone who reads the archive.
        """
        sources = Sources(
            client=self.client,
            downloader=self.downloader,
            decode=partial(self._decode, attempt),
            settling_seconds=self.settling_seconds,
        )
        try:
            return await sources.fetch(attempt, file, deadline=deadline)
        except TemporaryFileError:
            raise
        except ArchiveError as error:
            if detect_container(file) is None:
                raise
            kept = f"{clip_prefix(attempt.intent.fingerprint)}refused.mp4"
            await self.store.put(kept, file)
            raise type(error)(f"{error}. The bytes are stored as {self.store.link(kept)}") from error


async def find_clip(store: Store, fingerprint: str) -> Clip | None:
    """Return the archived clip with this fingerprint, if there is one.

    Raises:
        UnreadableRecordError: Its record cannot be read.
    """
    key = _record_key(fingerprint)
    content = await store.read(key)
    if content is None:
        return None
    remedy = "delete it, and the next run makes it again from the stored video, at no cost"
    return parse_record(Clip, content, link=store.link(key), remedy=remedy)


async def fetch_video(store: Store, clip: Clip) -> BinaryIO:
    """Open an archived video whose digest is still the same; the caller closes the file.

    Raises:
        IntegrityError: The video is missing or has changed.
        ArchiveError: The archive cannot be read.
    """
    found = await open_object(store, clip.key)
    if found and found[1] == clip.sha256:
        return found[0]
    if found:
        found[0].close()
    problem = "has changed since it was archived" if found else "is missing"
    raise IntegrityError(f"{store.link(clip.key)} {problem}; restore it from a backup")


def findings(requested: ClipInput, facts: VideoFacts) -> tuple[str, ...]:
    """Return the differences between a video and its request; none of them makes the video unusable.

    A ratio or resolution that only a newer version knows is not compared.
    """
    ratio = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", requested.aspect_ratio)
    lines = re.fullmatch(r"([1-9]\d*)p", requested.resolution)
    found: list[str] = []
    if abs(facts.duration_seconds - requested.duration) > _DURATION_TOLERANCE_SECONDS:
        found.append(f"lasts {facts.duration_seconds:.2f} s instead of {requested.duration} s")
    if ratio and abs(facts.width / facts.height * int(ratio[2]) / int(ratio[1]) - 1) > _RATIO_TOLERANCE:
        found.append(f"is {facts.width}×{facts.height}, which is not {requested.aspect_ratio}")
    pixels = int(lines[1]) ** 2 * 16 / 9 if lines else math.nan  # every ratio has as many pixels as 16:9
    if abs(facts.width * facts.height / pixels - 1) > _AREA_TOLERANCE:
        found.append(f"is {facts.width}×{facts.height}, which is not {requested.resolution}")
    if requested.sound and not facts.audio_codec:
        found.append("has no sound, but sound was requested")
    if facts.audio_codec and not requested.sound:
        found.append("has an audio track, but no sound was requested")
    return tuple(found)


def _record_key(fingerprint: str) -> str:
    return f"{clip_prefix(fingerprint)}clip.json"


def _video_key(fingerprint: str, sha256: str) -> str:
    return f"{clip_prefix(fingerprint)}clip-{sha256[:_DIGEST_DIGITS]}.mp4"
