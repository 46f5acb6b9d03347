"""The files that a clip refers to, with where they are written."""

from collections.abc import Iterator
from dataclasses import dataclass

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image import SourceImage
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
    def video_urls(self) -> tuple[str, ...]:
        """The URL of each video."""
        return self.given.videos

    @property
    def audio_urls(self) -> tuple[str, ...]:
        """The URL of each audio file."""
        return self.given.audios

    @property
    def count(self) -> int:
        """Files of all kinds."""
        return len(self.given.images) + len(self.given.videos) + len(self.given.audios)

    def mistakes(self) -> Iterator[tuple[Loc, str]]:
        """Yield the path of each video or audio file that the API cannot fetch, and the reason."""
        for kind, names in (("videos", self.given.videos), ("audios", self.given.audios)):
            for index, name in enumerate(names):
                if message := _mistake(name):
                    yield (*self.loc, kind, index), message


def _mistake(name: str) -> str | None:
    if "://" not in name:
        return f"{name!r} is not a URL; of references, only images may be local files: give an https URL"
    try:
        SourceImage.from_url(name)
    except StoryboardError as error:
        return str(error)
    return None


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
