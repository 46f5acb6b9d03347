"""The files that a clip refers to, with where they are written."""

from dataclasses import dataclass

from prefect_seedance.storyboard.media import WORDS, Medium
from prefect_seedance.storyboard.schema import ClipOverrides, Defaults, References
from prefect_seedance.storyboard.yaml_lines import Loc


@dataclass(frozen=True, kw_only=True)
class LocatedReferences:
    """The references of one clip.

    Attributes:
        loc: The path of its references, or of those of the defaults.
        given: The references as written.
    """

    loc: Loc
    given: References

    @property
    def images(self) -> tuple[tuple[Loc, str], ...]:
        """The path and the name of each image."""
        return tuple(((*self.loc, "images", index), name) for index, name in enumerate(self.given.images))

    @property
    def media(self) -> tuple[tuple[Loc, Medium, str], ...]:
        """The path, the medium and the name of each video and audio file."""
        return tuple(
            ((*self.loc, f"{medium}s", index), medium, name)
            for medium in WORDS
            for index, name in enumerate(self.names(medium))
        )

    def names(self, medium: Medium) -> tuple[str, ...]:
        """Return the names of the videos or of the audio files."""
        return self.given.videos if medium == "video" else self.given.audios

    @property
    def count(self) -> int:
        """Files of all kinds."""
        return len(self.given.images) + len(self.given.videos) + len(self.given.audios)


def locate_references(overrides: ClipOverrides, defaults: Defaults, *, loc: Loc) -> LocatedReferences:
    """Return the references of a clip: its own, or else those of the defaults.

    Args:
        overrides: The settings of the clip.
        defaults: Those of all clips.
        loc: The path of the clip.
    """
    if overrides.references is not None:
        return LocatedReferences(loc=(*loc, "references"), given=overrides.references)
    return LocatedReferences(loc=("defaults", "references"), given=defaults.references or References())
