"""What an author may not expect of a storyboard that is in order."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prefect_seedance.api.models import facts_of
from prefect_seedance.api.signatures import looks_signed
from prefect_seedance.api.urls import shown_url
from prefect_seedance.doors import option
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import fingerprint
from prefect_seedance.storyboard.schema import AUTO, ClipOverrides, ClipRequest

_SAME_SHAPE: Final = 1.02
"""A difference of 2 % is not visible."""

_ENLARGED: Final = 0.8
"""An image with 80 % of a clip's pixels still looks sharp."""

_MAX_SHOWN: Final = 3


def notes(
    clips: Sequence[ClipRequest], *, unused: Iterable[ClipOverrides], is_film: bool, is_folder: bool = False
) -> Iterator[str]:
    """Yield one sentence for each thing that has no effect, or another one than the author may expect.

    Args:
        clips: In order.
        unused: Settings of shots at which no clip begins.
        is_film: Whether the clips are joined.
        is_folder: Whether they were made from a folder of images, which has no settings of its own.
    """
    yield from _other_shapes(clips, is_folder=is_folder)
    yield from _small_images(clips)
    yield from _changing_urls(clips)
    ratios = dict.fromkeys(clip.settings.aspect_ratio for clip in clips)
    if is_film and len(ratios) > 1:
        yield f"The clips have different aspect ratios ({', '.join(ratios)}), so the film shows bars at some"
    for overrides in unused:
        fields = ClipOverrides.model_fields.items()
        if ignored := [name for name, field in fields if getattr(overrides, name) != field.default]:
            yield (
                f"No clip begins at the last shot, so this has no effect there: {', '.join(ignored)}. "
                "Remove it, or set 'loop: true' for a clip from the last shot to the first"
            )
    for numbers in _equal(clips):
        listed = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
        yield f"Clips {listed} are the same, so one video is made for them; give one a 'take' for another"


def _other_shapes(clips: Iterable[ClipRequest], *, is_folder: bool) -> Iterator[str]:
    """Report images that the API would have to cut or stretch."""
    found: defaultdict[tuple[str, tuple[str, ...]], dict[SourceImage, None]] = defaultdict(dict)
    for clip in clips:
        ratio, offered = clip.settings.aspect_ratio, facts_of(clip.model).aspect_ratios
        for image in clip.images:
            if not image.fitting and image.deviation(ratio) > _SAME_SHAPE:
                found[ratio, tuple(each for each in offered if each != AUTO)][image] = None
    for (ratio, offered), images in found.items():
        nearest = min(offered, key=next(iter(images)).deviation, default=ratio)
        shape = option("aspect_ratio", nearest) if is_folder else f"'aspect_ratio: {nearest}'"
        remedies = [f"set {shape}, or"] if nearest != ratio else []
        fit = "write a storyboard with" if is_folder else "" if remedies else "set"
        remedy = " ".join(filter(None, (*remedies, fit, "'fit: crop' or 'fit: pad'")))
        yield f"{_listed(images)} not {ratio} as the clip: {remedy}"


def _small_images(clips: Iterable[ClipRequest]) -> Iterator[str]:
    """Report images that have clearly fewer pixels than their clip."""
    small = {
        image: None
        for clip in clips
        for image in clip.images
        if image.width and image.height and image.width * image.height < _pixels(clip) * _ENLARGED
    }
    if small:
        yield f"{_listed(small)} smaller than the clip, so the API enlarges it: use larger images"


def _changing_urls(clips: Iterable[ClipRequest]) -> Iterator[str]:
    """Report files whose URLs may change by themselves."""
    files = [file for clip in clips for file in clip.sources if not file.is_local]
    found = dict.fromkeys(shown_url(file.source) for file in files if looks_signed(file.source))
    if found:
        yield (
            f"{', '.join([*found][:_MAX_SHOWN])} may be signed: if the URL changes, its clip is another one, "
            "and is bought again. Use an unsigned URL or a local file"
        )


def _pixels(clip: ClipRequest) -> float:
    """Return about how many pixels a frame of the clip has; 0 if the resolution's name does not say so."""
    lines = clip.settings.resolution.removesuffix("p")
    return int(lines) ** 2 * 16 / 9 if lines.isdecimal() else 0.0


def _listed(images: Iterable[SourceImage]) -> str:
    """Name the first images, with their sizes and a verb."""
    shown = [f"{image.stem} ({image.width}×{image.height})" for image in images]
    more = f" and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
    return f"{', '.join(shown[:_MAX_SHOWN])}{more} {'is' if len(shown) == 1 else 'are'}"


def _equal(clips: Sequence[ClipRequest]) -> Iterator[list[int]]:
    """Yield the numbers of clips, from 1, that would have one fingerprint."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, clip in enumerate(clips, 1):
        numbers[fingerprint(clip, model=clip.model)].append(number)
    yield from (each for each in numbers.values() if len(each) > 1)
