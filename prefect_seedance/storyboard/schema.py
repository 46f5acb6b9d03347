"""The models of a storyboard file and of a list of clips."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
)

from prefect_seedance.api.clip_check import mode_for
from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL
from prefect_seedance.api.signatures import unsigned
from prefect_seedance.api.wire import ClipInput, ClipSettings
from prefect_seedance.printable import one_line
from prefect_seedance.storyboard.image import Fit, SourceImage
from prefect_seedance.storyboard.media import SourceMedia
from prefect_seedance.storyboard.source_file import SourceFile

Text = Annotated[StrictStr, StringConstraints(strip_whitespace=True)]
"""Text without surrounding whitespace: YAML's block scalars end with a line break."""

AUTO: Final = "auto"
"""An aspect ratio that is chosen by an image."""

_RATIOS: Final = [AUTO, *CAPABILITIES[DEFAULT_MODEL].aspect_ratios]
_AUTO_HELP: Final = "auto: that of the first image, or the nearest one."

_INHERITED = "If omitted, the value under `defaults` applies."


def _choices(setting: str) -> Any:  # noqa: ANN401 -- as pydantic's Field
    return Field(json_schema_extra=ClipSettings.model_fields[setting].json_schema_extra)


def _override(setting: str) -> Any:  # noqa: ANN401 -- as pydantic's Field
    description = ClipSettings.model_fields[setting].description
    return Field(default=None, description=f"{description} {_INHERITED}")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class References(_Strict):
    """Files that show the model a look, a cast, a movement or a sound; the prompt says what each is for."""

    images: tuple[Text, ...] = Field(
        default=(), description="Images, each a path relative to the file, or an https URL."
    )
    videos: tuple[Text, ...] = Field(default=(), description="Videos of 2 to 15 s, named likewise.")
    audios: tuple[Text, ...] = Field(default=(), description="Audio files of 2 to 15 s, named likewise.")

    def without_signatures(self) -> Self:
        """Return the references without the signatures of their URLs."""
        kinds = ("images", "videos", "audios")
        return self.model_copy(update={kind: tuple(map(unsigned, getattr(self, kind))) for kind in kinds})


def _stored(references: References | None) -> dict[str, References | None]:
    return {"references": references.without_signatures() if references else None}


_REFERENCES = "Files that the prompt refers to, for models with the mode omni_reference."


class Defaults(ClipSettings):
    """Settings for every clip that does not override them."""

    aspect_ratio: str = Field(
        default=ClipSettings.model_fields["aspect_ratio"].default,
        description=f"Width to height; {_AUTO_HELP}",
        json_schema_extra={"enum": [*_RATIOS]},
    )
    prompt: Text = Field(default="", description="Prompt for clips that have none of their own.")
    fit: Fit = Field(
        default="none",
        description="How to bring local images to the aspect ratio: crop cuts off the excess, pad adds black "
        "bars, none leaves them unchanged.",
    )
    model: StrictStr | None = Field(
        default=None, description="Id of the model, as in the API's paths. Default: the account's."
    )
    references: References | None = Field(default=None, description=_REFERENCES)


class ClipOverrides(_Strict):
    """Settings of one clip that override the defaults.

    An omitted setting is None and an omitted prompt is empty. The default's value would be ambiguous after a
    form or a queue has sent all fields as JSON.
    """

    prompt: Text = Field(
        default="",
        description=f"What happens in the clip, including sounds and camera movement. {_INHERITED}",
    )
    take: StrictInt = Field(
        default=1, ge=1, description="Raise it to generate another version of the same clip."
    )
    duration: Annotated[StrictInt, _choices("duration")] | None = _override("duration")
    resolution: Annotated[StrictStr, _choices("resolution")] | None = _override("resolution")
    aspect_ratio: Annotated[StrictStr, Field(json_schema_extra={"enum": [*_RATIOS]})] | None = Field(
        default=None, description=f"Width to height; {_AUTO_HELP} {_INHERITED}"
    )
    sound: StrictBool | None = _override("sound")
    fixed_lens: StrictBool | None = _override("fixed_lens")
    web_search: StrictBool | None = _override("web_search")
    fit: Fit | None = Field(
        default=None, description=f"How to bring local images to the aspect ratio. {_INHERITED}"
    )
    model: StrictStr | None = Field(default=None, description=f"Id of the clip's model. {_INHERITED}")
    references: References | None = Field(default=None, description=f"{_REFERENCES} {_INHERITED}")

    def settings(self, defaults: Defaults) -> ClipSettings:
        """Merge these settings into the defaults."""
        fields = set(ClipSettings.model_fields)
        overrides = self.model_dump(include=fields, exclude_none=True)
        return ClipSettings(**{**defaults.model_dump(include=fields), **overrides})

    def model_for(self, defaults: Defaults, account: str) -> str:
        """Return the id of the clip's model: its own, that of the defaults, or the account's."""
        return self.model or defaults.model or account

    def overrides(self, field: str) -> bool:
        """Return whether this field is set here rather than under the defaults."""
        return getattr(self, field) not in (None, "")


class _HasImage(_Strict):  # a base class, so that forms show its field first
    image: Text = Field(
        description="Image that the clip begins with: a path relative to the storyboard, or an https URL."
    )


class Shot(ClipOverrides, _HasImage):
    """One image of a film, with what happens from it to the next."""


class Storyboard(_Strict):
    """A film: images in order, with what happens between them."""

    title: Text = Field(default="", description="Title, which also names the production.")
    defaults: Defaults = Field(default=Defaults(), description="Settings for every shot.")
    loop: StrictBool = Field(default=False, description="Add a clip from the last image to the first.")
    shots: tuple[Shot, ...] = Field(description="The images in order, two or more.")

    def without_signatures(self) -> Self:
        """Return the storyboard without the signatures of its URLs, to store it."""
        shots = (
            shot.model_copy(update={"image": unsigned(shot.image), **_stored(shot.references)})
            for shot in self.shots
        )
        defaults = self.defaults.model_copy(update=_stored(self.defaults.references))
        return self.model_copy(update={"shots": tuple(shots), "defaults": defaults})


class _HasImages(_Strict):
    name: Text = Field(
        default="", description="Name of the clip. If omitted, the beginning of its prompt is used."
    )
    images: tuple[Text, ...] = Field(
        default=(),
        description="Start image and end image, only a start image, or none. "
        "Each is a path relative to the file, or an https URL.",
    )


class ClipSpec(ClipOverrides, _HasImages):
    """One separate clip, generated from its prompt and up to two images."""


class ClipList(_Strict):
    """Clips that do not form a film."""

    title: Text = Field(default="", description="Title, which also names the production.")
    defaults: Defaults = Field(default=Defaults(), description="Settings for every clip.")
    clips: tuple[ClipSpec, ...] = Field(description="The clips, one or more.")

    def without_signatures(self) -> Self:
        """Return the list without the signatures of its URLs, to store it."""
        clips = (
            clip.model_copy(update={"images": tuple(map(unsigned, clip.images)), **_stored(clip.references)})
            for clip in self.clips
        )
        defaults = self.defaults.model_copy(update=_stored(self.defaults.references))
        return self.model_copy(update={"clips": tuple(clips), "defaults": defaults})


FIELDS: Final = frozenset(
    name for model in (Storyboard, Shot, ClipList, ClipSpec, Defaults) for name in model.model_fields
)
"""The names of all fields that an author can write."""


class ClipRequest(BaseModel):
    """One clip to generate, with its settings resolved and its images inspected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name for display, unique in its production.")
    prompt: str = Field(description="What happens in the clip.")
    images: tuple[SourceImage, ...] = Field(description="The start image and the end image, or fewer.")
    settings: ClipSettings = Field(description="Length, size, sound and camera of the clip.")
    take: int = Field(default=1, description="Version of the clip, from 1.")
    model: str = Field(default="", description="Id of the model; empty for the account's.")
    references: tuple[SourceImage, ...] = Field(default=(), description="Images that are references.")
    videos: tuple[SourceMedia, ...] = Field(default=(), description="Videos that are references.")
    audios: tuple[SourceMedia, ...] = Field(default=(), description="Audio files that are references.")

    @property
    def label(self) -> str:
        """The name as one line, for names of runs and events."""
        return one_line(self.name)

    @property
    def mode(self) -> str:
        """The API's mode, which depends on the model, and on whether there are images and references."""
        return self._mode(self.model or DEFAULT_MODEL)

    def _mode(self, model: str) -> str:
        references = (*self.references, *self.videos, *self.audios)
        return mode_for(model, frames=len(self.images), references=len(references))

    @property
    def frames(self) -> tuple[SourceImage, ...]:
        """The images that the clip begins and ends with: none if the model only refers to them."""
        return () if (*self.references, *self.videos, *self.audios) else self.images

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """All files, in the order in which they are sent: frames, images, videos and audio files."""
        return (*self.images, *self.references, *self.videos, *self.audios)

    def input(self, urls: Iterable[str], *, model: str = DEFAULT_MODEL) -> ClipInput:
        """Return the API's input, given the URLs at which the files are hosted.

        Args:
            urls: One for each of `sources`.
            model: Id of the model, if the clip chooses none.

        Raises:
            ValueError: The number of URLs differs from the number of files.
        """
        urls, model = tuple(urls), self.model or model
        if len(urls) != len(self.sources):
            raise ValueError(f"{self.name!r} needs the URLs of {len(self.sources)} files, got {len(urls)}")
        images, videos = len(self.images) + len(self.references), len(self.videos)
        return ClipInput(
            mode=self._mode(model),
            prompt=self.prompt,
            image_urls=urls[:images],
            video_urls=urls[images : images + videos] or None,
            audio_urls=urls[images + videos :] or None,
            **self.settings.for_model(model),
        )
