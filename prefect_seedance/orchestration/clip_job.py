"""One clip as a job block of Prefect: triggered, waited for, fetched."""

import asyncio
from dataclasses import dataclass
from typing import Self

from prefect.blocks.abstract import JobBlock, JobRun
from pydantic import Field

from prefect_seedance.api.client import REQUEST_TIMEOUT_SECONDS
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips import submit as submission
from prefect_seedance.clips.archive import Clip, find_clip
from prefect_seedance.clips.image_hosting import LIFETIME_SECONDS, MOST_LIFETIME_SECONDS
from prefect_seedance.clips.ledger import Attempt, Result, clip_prefix
from prefect_seedance.clips.poll import Polling
from prefect_seedance.clips.submit import RetryPolicy
from prefect_seedance.clips.unresolved import settled
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration import reporting
from prefect_seedance.orchestration.blocks import (
    ClipArchive,
    SeedanceCredentials,
    archive_from_env,
    open_archive,
)
from prefect_seedance.orchestration.cancellation import in_good_order
from prefect_seedance.orchestration.run_sync import finish
from prefect_seedance.orchestration.session import RunSettings, Session, shared
from prefect_seedance.orchestration.tasks import DEADLINE_SECONDS, archive_clip, submit_clip, wait_for_clip
from prefect_seedance.storyboard.image import Fit
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import Plan, plan
from prefect_seedance.storyboard.schema import ClipList, ClipSpec, Defaults


@dataclass(frozen=True, kw_only=True)
class SeedanceClipRun(JobRun[Clip]):
    """A clip that was asked for, as the ledger of its archive remembers it.

    It holds nothing that the ledger does not: any process can have it again by its fingerprint.

    Attributes:
        fingerprint: The clip's identity. Return this from a task, not the run, which knows the API key.
        order: Who paid, where it goes and how.
        deadline_seconds: How long each of its steps may take.
    """

    fingerprint: str
    order: RunSettings
    deadline_seconds: float = DEADLINE_SECONDS

    def wait_for_completion(self) -> None:  # type: ignore[override]  # sync by its plain name, as Prefect's users call it
        """Do as `await_for_completion`, in synchronous code."""
        finish(self.await_for_completion)

    async def await_for_completion(self) -> None:
        """Wait until the generation has ended.

        Raises:
            DeadlineError: If the deadline came first; the generation goes on, and can be waited for again.
            GenerationFailedError: If it ended without a video.
            ContentRejectedError: Likewise, because of its content.
            SubmissionUnresolvedError: If nobody knows whether its submission was accepted.
            SetupError: If nothing of this fingerprint was ever asked for.
        """
        async with shared(self.order) as session:
            if not await find_clip(session.store, self.fingerprint):
                await self._ended(session, deadline=self._deadline())

    def fetch_result(self) -> Clip:  # type: ignore[override]  # likewise
        """Do as `afetch_result`, in synchronous code."""
        return finish(self.afetch_result)

    async def afetch_result(self) -> Clip:
        """Bring the video into the archive, unless it is there, and return its record.

        What has not ended yet is waited for.

        Raises:
            ArchiveError: As `archive_clip` does.
            SeedanceError: As `await_for_completion` does.
        """
        async with shared(self.order) as session:
            await session.store.sweep([clip_prefix(self.fingerprint)])
            if clip := await find_clip(session.store, self.fingerprint):
                return clip
            deadline = self._deadline()
            attempt = await self._ended(session, deadline=deadline)
            return await archive_clip(attempt, order=self.order, deadline_seconds=_left(deadline))

    async def _ended(self, session: Session, *, deadline: float) -> Attempt:
        """Wait for the attempt that decides, and return it if it has a video."""
        attempts = await session.ledger.attempts(self.fingerprint)
        if not attempts:
            raise SetupError(
                f"Nothing was asked for as {self.fingerprint} in {session.store.name}; nothing was spent. "
                "Check the fingerprint and the archive, or trigger the clip"
            )
        attempt = await settled(session.ledger, attempts[-1], deadline=deadline)
        if not attempt.outcome:
            attempt = await wait_for_clip(attempt, order=self.order, deadline_seconds=_left(deadline))
        if attempt.outcome and attempt.outcome.result is not Result.success:
            raise submission.failure(attempt.intent.name, attempt.outcome)
        return attempt

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.deadline_seconds

    def __reduce__(self) -> str:
        raise TypeError("A run knows the API key and is not to be stored; pass on its fingerprint instead")


class SeedanceClip(JobBlock[Clip]):
    """One clip to be made, by an account, into an archive.

    However often it is triggered, by however many processes, the clip is bought once: what was asked for is
    taken in, and what is archived is there. A changed prompt, picture or setting, or a raised take, is
    another clip.

    Example:
        Load a stored clip, have it made and archived, and see where it is:
        ```python
        from prefect_seedance import SeedanceClip

        clip = SeedanceClip.load("BLOCK_NAME")
        run = clip.trigger()
        run.wait_for_completion()
        print(run.fetch_result().key)
        ```

        In async code, await what has an a before its name:
        ```python
        from prefect_seedance import SeedanceClip

        clip = await SeedanceClip.aload("BLOCK_NAME")
        run = await clip.atrigger()
        await run.await_for_completion()
        print((await run.afetch_result()).key)
        ```
    """

    _block_type_name = "Seedance Clip"
    _block_type_slug = "seedance-clip"
    _documentation_url = "https://github.com/prefect-seedance/prefect-seedance"  # type: ignore[assignment]  # Prefect coerces it

    prompt: str = Field(description="What happens, with sounds and camera.")
    images: tuple[str, ...] = Field(
        default=(),
        description="No picture, a start picture, or a start and an end picture: each an https URL, an "
        "object of a store, or an absolute path.",
    )
    settings: ClipSettings = Field(default=ClipSettings(), description="How it looks and sounds.")
    fit: Fit = Field(default="none", description=Defaults.model_fields["fit"].description)
    take: int = Field(default=1, ge=1, description="Raise it to buy another version of the same clip.")
    credentials: SeedanceCredentials = Field(description="The account that pays.")
    archive: ClipArchive | str = Field(
        default="",
        description="Where the clip goes: a Clip Archive, or a folder's path, s3://, gs:// or az:// with a "
        "bucket, or block:NAME. Left out, SEEDANCE_ARCHIVE says it.",
    )
    images_url: str = Field(
        default="",
        title="Images URL",
        description="Where the archive's images folder can be fetched, for local images in no bucket.",
    )
    images_lifetime_seconds: float = Field(
        default=LIFETIME_SECONDS,
        gt=0,
        le=MOST_LIFETIME_SECONDS,
        description="How long the API can fetch local images from a bucket, in seconds, at most 7 days.",
    )
    allow_outside: bool = Field(default=False, description="Permit local images, by absolute path.")
    retry_failed: bool = Field(
        default=False, description="Pay again for a clip that failed, but not for its content."
    )
    retry_rejected: bool = Field(
        default=False, description="Pay again for a clip whose content was rejected."
    )
    deadline_seconds: float = Field(
        default=DEADLINE_SECONDS,
        gt=0,
        description="How long submitting, waiting and fetching may each take, in seconds; the generation "
        "goes on all the same.",
    )
    timeout_seconds: float = Field(
        default=REQUEST_TIMEOUT_SECONDS, gt=0, description="Bound of one request, in seconds."
    )
    pace: Polling = Field(default=Polling(), description="How often to look for the generation's end.")

    @classmethod
    def from_env(cls, **fields: object) -> Self:
        """Take account and archive from the environment, and everything else as it is given.

        Raises:
            SetupError: If there is no SEEDANCE_API_KEY or no SEEDANCE_ARCHIVE.
        """
        known = {"credentials": SeedanceCredentials.from_env(), "archive": archive_from_env()}
        return cls.model_validate({**known, **fields})

    def trigger(self) -> SeedanceClipRun:  # type: ignore[override]  # sync by its plain name, as Prefect's users call it
        """Do as `atrigger`, in synchronous code."""
        return finish(self.atrigger)

    async def atrigger(self) -> SeedanceClipRun:
        """Submit the clip, unless that has been done, and return its run.

        Raises:
            StoryboardError: If the clip cannot be made as it is said; nothing was spent.
            SetupError: If the archive or the images' hosting is wrong; nothing was spent.
            SeedanceError: As `submit_clip` does.
        """
        planned = await self._plan()
        (clip,) = planned.clips
        run = self.run_of(clip.fingerprint, production=planned.name)
        async with shared(run.order) as session:
            if await find_clip(session.store, clip.fingerprint):
                return run
            await session.store.probe()
            if doubt := await session.host(run.order).check(clip.images):
                reporting.warn(doubt)
            await in_good_order(submit_clip(clip, order=run.order, deadline_seconds=self.deadline_seconds))
        return run

    def run_of(self, fingerprint: str, *, production: str = "") -> SeedanceClipRun:
        """Return the run of a clip that this account was asked for in this archive.

        Args:
            fingerprint: The clip's, as its former run or the ledger has it.
            production: For whom it is made, for people who read the ledger.
        """
        order = RunSettings(
            credentials=self.credentials,
            archive=self.archive,
            production=production,
            images_url=self.images_url,
            images_lifetime_seconds=self.images_lifetime_seconds,
            policy=RetryPolicy(retry_failed=self.retry_failed, retry_rejected=self.retry_rejected),
            pace=self.pace,
            timeout_seconds=self.timeout_seconds,
        )
        return SeedanceClipRun(fingerprint=fingerprint, order=order, deadline_seconds=self.deadline_seconds)

    async def _plan(self) -> Plan:
        """Read the clip as a list of one, which is named as the block is stored."""
        name, model = self._block_document_name or "", self.credentials.model
        spec = ClipSpec(name=name, prompt=self.prompt, images=self.images, take=self.take, fit=self.fit)
        words = ClipList(title=name or "clip", defaults=Defaults(**self.settings.model_dump()), clips=(spec,))
        reading = await load_storyboard(
            words, model=model, allow_outside=self.allow_outside, opener=open_archive
        )
        return plan(reading.clips, title=reading.title, model=model)


def _left(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()
