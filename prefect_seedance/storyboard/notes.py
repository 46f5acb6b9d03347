"""What an author may not expect of a storyboard that is in order."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prefect_seedance.storyboard.schema import ClipOverrides, ClipRequest


def notes(clips: Sequence[ClipRequest], *, unused: Iterable[ClipOverrides]) -> Iterator[str]:
    """Yield one sentence for each thing that has no effect.

    Args:
        clips: In order.
        unused: Settings of shots at which no clip begins.
    """
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


def _equal(clips: Sequence[ClipRequest]) -> Iterator[list[int]]:
    """Yield the numbers of clips, from 1, that would have one fingerprint."""
    numbers: defaultdict[object, list[int]] = defaultdict(list)
    for number, clip in enumerate(clips, 1):
        images = tuple(image.identity for image in clip.images)
        numbers[clip.prompt, images, clip.settings, clip.take].append(number)
    yield from (each for each in numbers.values() if len(each) > 1)
