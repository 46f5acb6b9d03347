"""A production of a campaign, and how one of its runs ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.campaign.archive import Archive, Json
from benchmarks.campaign.chance import RunPlan, Setting
from benchmarks.campaign.clip_list import ClipListFile
from benchmarks.campaign.receiver import MortalReceiver


class ViolationError(Exception):
    """A rule of the campaign is violated."""


class StoppedError(Exception):
    """The campaign was stopped early."""


@dataclass(frozen=True)
class Production:
    """A clip list with its archive.

    Attributes:
        name: Name of its folder in the archive.
        images_url: Base URL of the images in its archive; empty for a bucket, which signs URLs.
        receiver: Its callback receiver, if it has one.
    """

    name: str
    setting: Setting
    clip_list: ClipListFile
    archive: Archive
    images_url: str
    receiver: MortalReceiver | None

    @property
    def missing(self) -> int:
        """The number of clips without a video; clips of edited prompts may reduce it."""
        return max(0, len(self.clip_list.clips) - len(self.archive.keys("clip.json")))

    def manifest(self) -> Json:
        """Return the stored manifest, empty if there is none."""
        return dict(json.loads(self.archive.read(f"productions/{self.name}/manifest.json") or b"{}"))


@dataclass(frozen=True)
class Run:
    """One run of a production.

    Attributes:
        killed: Whether SIGKILL ended it.
        stopped: Whether SIGTERM or the time limit of its flow ended it.
        manifest: The manifest that it printed, if it did.
        state: The final state of a flow with a time limit.
        paused_seconds: How long it was suspended.
    """

    plan: RunPlan
    killed: bool
    stopped: bool
    exit_code: int
    manifest: Mapping[str, Any] | None
    state: Mapping[str, Any]
    output: str
    paused_seconds: float = 0.0

    @property
    def entries(self) -> Sequence[Json]:
        """The manifest entry of each clip."""
        return self.manifest["clips"] if self.manifest else ()

    @property
    def timed_out(self) -> bool:
        """Whether the time limit of its flow ended it."""
        return self.state.get("state") == "TimedOut"

    @property
    def seconds(self) -> float:
        """Seconds from its beginning to the record of its manifest, 0 without one."""
        if not self.manifest:
            return 0.0
        began_at, ended_at = (
            datetime.fromisoformat(self.manifest[name]) for name in ("began_at", "ended_at")
        )
        return (ended_at - began_at).total_seconds()
