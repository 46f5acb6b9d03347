"""Find in the last manifest of a production what need not be inspected or compared again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from prefect_seedance.clips.archive import Clip
from prefect_seedance.film.inspections import ClipInspection, Seams, Similarity
from prefect_seedance.report.manifest import Entry, Manifest


@dataclass(frozen=True, kw_only=True)
class KnownFindings:
    """The findings of an earlier run.

    Attributes:
        inspections: By the digest of the video and the fingerprint of the clip, which decides its images.
        following: Similarities of two clips that follow each other, by the digests of their videos.
    """

    inspections: Mapping[tuple[str, str], ClipInspection] = field(default_factory=dict)
    following: Mapping[tuple[str, str], Similarity] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest | None) -> Self:
        """Return the findings in a manifest."""
        entries = [entry for entry in manifest.clips if entry.clip and entry.inspection] if manifest else []
        inspections = {_identity(entry.clip): _inspection(entry) for entry in entries if entry.clip}
        following = {
            (entry.clip.sha256, after.clip.sha256): entry.seams.next
            for entry, after in pairwise(manifest.clips if manifest else ())
            if entry.clip and after.clip and entry.seams and entry.seams.next
        }
        return cls(
            inspections={key: found for key, found in inspections.items() if found},
            following={key: found for key, found in following.items() if found.ssim is not None},
        )

    def inspection(self, clip: Clip, *, images: int) -> ClipInspection | None:
        """Return the inspection of a clip, if it was compared with all of its images."""
        found = self.inspections.get(_identity(clip))
        compared = (found.start, found.end)[:images] if found else ()
        return found if all(each and each.ssim is not None for each in compared) else None


def _identity(clip: Clip) -> tuple[str, str]:
    return clip.sha256, clip.fingerprint


def _inspection(entry: Entry) -> ClipInspection | None:
    seams = entry.seams or Seams()
    if entry.inspection is None or entry.clip is None or entry.inspection.sha256 != entry.clip.sha256:
        return None
    return ClipInspection(inspection=entry.inspection, start=seams.start, end=seams.end)
