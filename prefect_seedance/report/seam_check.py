"""Apply the required similarity of cuts to the manifest."""

from collections.abc import Mapping, Sequence

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import SeamError
from prefect_seedance.film.inspections import ClipInspection, Seams, Similarity
from prefect_seedance.report.manifest import Entry, Manifest


def check_seams(
    manifest: Manifest,
    inspections: Mapping[str, ClipInspection],
    following: Mapping[int, Similarity],
    *,
    min_similarity: float = 0.0,
) -> Manifest:
    """Add what the inspections found, and fail the clips that do not prove the required similarity.

    Args:
        manifest: With every clip of the production.
        inspections: By fingerprint.
        following: By a clip's number: its last frame compared with the first frame of the next clip.
        min_similarity: Structural similarity from 0 to 1; 0 accepts all.
    """
    entries = [_inspected(entry, inspections.get(entry.fingerprint), following) for entry in manifest.clips]
    if min_similarity:
        entries = [
            _checked(entry, _compared(entries, index), min_similarity) for index, entry in enumerate(entries)
        ]
    return manifest.model_copy(update={"clips": tuple(entries)})


def _inspected(entry: Entry, inspection: ClipInspection | None, following: Mapping[int, Similarity]) -> Entry:
    if inspection is None:
        return entry
    seams = Seams(start=inspection.start, end=inspection.end, next=following.get(entry.number))
    return entry.model_copy(update={"inspection": inspection.inspection, "seams": seams})


def _compared(entries: Sequence[Entry], index: int) -> Mapping[str, Similarity]:
    """List the similarities that a clip has to prove.

    Where two clips do not meet, it is the one that is less similar to their common image; if that is unknown,
    the later one.
    """
    seams = entries[index].seams or Seams()
    found = {"its start image": seams.start, "its end image": seams.end}
    before = entries[index - 1].seams if index else None
    if before and before.next and _ssim(seams.start) <= _ssim(before.end):
        found["the clip before it"] = before.next
    after = entries[index + 1].seams if index + 1 < len(entries) else None
    if seams.next and after and _ssim(seams.end) < _ssim(after.start):
        found["the clip after it"] = seams.next
    return {name: similarity for name, similarity in found.items() if similarity}


def _ssim(similarity: Similarity | None) -> float:
    return 1.0 if similarity is None or similarity.ssim is None else similarity.ssim


def _checked(entry: Entry, compared: Mapping[str, Similarity], minimum: float) -> Entry:
    low = [f"{each.ssim:.2f} to {name}" for name, each in compared.items() if _ssim(each) < minimum]
    unknown = [f"{name} ({each.reason})" for name, each in compared.items() if each.ssim is None]
    stays = "The clip is archived and stays in the film"
    if low:
        return _failed(
            entry,
            f"The similarity of {entry.name} is too low: {', '.join(low)}. "
            f"{stays}; raise its 'take' in the storyboard to buy another version",
        )
    if unknown:
        return _failed(
            entry,
            f"{entry.name} could not be compared with {', '.join(unknown)}. {stays}; run again to compare it",
        )
    if entry.clip and not entry.inspection:
        return _failed(entry, f"{entry.name} could not be inspected. {stays}; run again to inspect it")
    return entry


def _failed(entry: Entry, reason: str) -> Entry:
    return entry.model_copy(
        update={"status": ClipStatus.failed, "reason": reason, "cause": SeamError.__name__}
    )
