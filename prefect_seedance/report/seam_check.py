"""Say in an account what looking at its clips has found."""

from collections.abc import Mapping, Sequence

from prefect_seedance.film.seams import ClipInspection, Seams, Similarity
from prefect_seedance.report.manifest import Entry, Manifest, Standing

Nexts = Mapping[int, Similarity]
"""By a clip's number: its last picture, and the first one of the next clip."""


def reviewed(
    manifest: Manifest, looks: Mapping[str, ClipInspection], nexts: Nexts, *, min_seam: float = 0.0
) -> Manifest:
    """Add what was found, and fail the clips that fall short of what is demanded.

    Args:
        manifest: What became of the clips.
        looks: What each is like by itself, by fingerprint.
        nexts: How they meet each other.
        min_seam: How alike pictures must be that should be one; 0 demands nothing.
    """
    entries = [_seen(entry, looks.get(entry.fingerprint), nexts) for entry in manifest.clips]
    judged = [_judged(entry, _faults(entries, place, min_seam)) for place, entry in enumerate(entries)]
    return manifest.model_copy(update={"clips": tuple(judged)})


def _seen(entry: Entry, look: ClipInspection | None, nexts: Nexts) -> Entry:
    if look is None:
        return entry
    seams = Seams(start=look.start, end=look.end, next=nexts.get(entry.number))
    return entry.model_copy(update={"inspection": look.inspection, "seams": seams})


def _faults(entries: Sequence[Entry], place: int, least: float) -> Mapping[str, float]:
    """List what of a clip falls short, and by how much it is alike.

    If two clips do not meet, the one that is less like the picture between them has to answer for it;
    the later one, if that is not known.
    """
    seams = entries[place].seams or Seams()
    found = {"its image, at its start,": seams.start, "its image, at its end,": seams.end}
    before = entries[place - 1].seams if place else None
    if before and before.next and _ssim(seams.start) <= _ssim(before.end):
        found["the clip before it"] = before.next
    after = entries[place + 1].seams if place + 1 < len(entries) else None
    if seams.next and after and _ssim(seams.end) < _ssim(after.start):
        found["the clip after it"] = seams.next
    return {
        name: likeness.ssim
        for name, likeness in found.items()
        if likeness and likeness.ssim is not None and likeness.ssim < least
    }


def _ssim(likeness: Similarity | None) -> float:
    return 1.0 if likeness is None or likeness.ssim is None else likeness.ssim


def _judged(entry: Entry, faults: Mapping[str, float]) -> Entry:
    if not faults:
        return entry
    said = ", ".join(f"{name} by {ssim:.2f}" for name, ssim in faults.items())
    reason = (
        f"{entry.name} is too little like {said}. It is archived, and stays in the film; "
        "raise its 'take' in the storyboard to buy another version"
    )
    return entry.model_copy(update={"standing": Standing.failed, "reason": reason, "cause": "SeamError"})
