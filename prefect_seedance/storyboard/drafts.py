"""The clips of a storyboard or list, before their images and settings are checked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from prefect_seedance.api.models import facts_of
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.references import LocatedReferences, locate_references
from prefect_seedance.storyboard.schema import AUTO, ClipList, ClipOverrides, Storyboard
from prefect_seedance.storyboard.yaml_lines import Loc

Inspected: TypeAlias = Mapping[str, SourceImage | str]
"""By the name in the document: the image, or an error message."""


class EveryClip(str):
    """Id of a model for every clip, whatever the author chooses, to see what would change."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A clip before its images and settings are checked.

    Attributes:
        loc: The path of its shot or clip.
        overrides: Its settings.
        model: Id of its model.
        images: The path and the name of each image that is a frame.
        references: The path and the name of each image, video and audio file that is a reference.
        name: Its name for display; empty to derive one from its images.
        is_clip: False for the last shot unless the storyboard loops: no clip begins there.
    """

    loc: Loc
    overrides: ClipOverrides
    model: str
    images: tuple[tuple[Loc, str], ...]
    references: LocatedReferences
    name: str = ""
    is_clip: bool = True

    @property
    def sources(self) -> tuple[tuple[Loc, str], ...]:
        """All images, in the order in which they are sent."""
        return (*self.images, *self.references.images)


def drafts_of(storyboard: Storyboard | ClipList, *, model: str) -> Iterator[Draft]:
    """Yield each clip with its model and files, and where they are written."""

    def model_of(overrides: ClipOverrides) -> str:
        return model if isinstance(model, EveryClip) else overrides.model_for(storyboard.defaults, model)

    if isinstance(storyboard, ClipList):
        for number, clip in enumerate(storyboard.clips):
            loc: Loc = ("clips", number)
            images = tuple(((*loc, "images", index), image) for index, image in enumerate(clip.images))
            name = clip.name or clip.prompt or storyboard.defaults.prompt
            yield Draft(
                loc=loc,
                overrides=clip,
                model=model_of(clip),
                images=images,
                references=locate_references(clip, storyboard.defaults, loc=loc),
                name=name,
            )
        return
    starts = tuple((("shots", number, "image"), shot.image) for number, shot in enumerate(storyboard.shots))
    ends = starts[1:] + starts[:1]
    for number, (shot, start, end) in enumerate(zip(storyboard.shots, starts, ends, strict=True)):
        is_clip = storyboard.loop or number + 1 < len(starts)
        yield Draft(
            loc=("shots", number),
            overrides=shot,
            model=model_of(shot),
            images=(start, end) if is_clip else (start,),
            references=locate_references(shot, storyboard.defaults, loc=("shots", number)),
            is_clip=is_clip,
        )


def with_ratios(
    drafts: Sequence[Draft], storyboard: Storyboard | ClipList, inspected: Inspected
) -> tuple[tuple[Draft, ...], tuple[str, ...]]:
    """Choose each aspect ratio that is left to an image: that of the film's first one, or of the clip's."""
    resolved, chosen = [], dict[str, None]()
    lead = drafts[0].images[:1] if drafts and isinstance(storyboard, Storyboard) else ()
    for draft in drafts:
        own = draft.overrides.aspect_ratio
        images = draft.images if own else lead or draft.images
        image = inspected[images[0][1]] if images else None
        if (
            (own or storyboard.defaults.aspect_ratio) != AUTO
            or isinstance(image, str | None)
            or not image.width
            or AUTO in facts_of(draft.model).aspect_ratios  # the model chooses
        ):
            resolved.append(draft)
            continue
        ratio = min(facts_of(draft.model).aspect_ratios, key=image.deviation)
        overrides = draft.overrides.model_copy(update={"aspect_ratio": ratio})
        resolved.append(replace(draft, overrides=overrides))
        chosen[f"aspect_ratio: auto is {ratio}, after {image.stem} ({image.width}×{image.height})"] = None
    return tuple(resolved), tuple(chosen)
