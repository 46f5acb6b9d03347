"""The author's words for a film or for a list of clips."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
)

from prefect_seedance.api.wire import ClipInput, ClipSettings
from prefect_seedance.storyboard.image import Fit, SourceImage

Text = Annotated[StrictStr, StringConstraints(strip_whitespace=True)]
"""What an author types, without the blanks and line ends around it, which YAML's blocks add."""


def _choices(setting: str) -> Any:  # noqa: ANN401 -- as pydantic's Field
    return Field(json_schema_extra=ClipSettings.model_fields[setting].json_schema_extra)


def _override(setting: str) -> Any:  # noqa: ANN401 -- as pydantic's Field
    said = ClipSettings.model_fields[setting].description
    return Field(default=None, description=f"{said} Left out, it is as the defaults say.")


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Defaults(ClipSettings):
    """What holds for every clip that does not say otherwise."""

    prompt: Text = Field(default="", description="What happens in clips that have no prompt of their own.")
    fit: Fit = Field(
        default="none",
        description="How local images are brought to the aspect ratio: crop cuts off what is over, pad adds "
        "black beside them, none leaves them as they are.",
    )


class ClipWords(_Words):
    """What an author may say about one clip over the defaults.

    An unsaid setting is None and an unsaid prompt empty, rather than the default's value: so what was
    said can be told from what was not even when a form or a queue has sent all fields through JSON.
    """

    prompt: Text = Field(
        default="", description="What happens, with sounds and camera. Left out, it is as the defaults say."
    )
    take: StrictInt = Field(default=1, ge=1, description="Raise it to buy another version of the same clip.")
    duration: Annotated[StrictInt, _choices("duration")] | None = _override("duration")
    resolution: Annotated[StrictStr, _choices("resolution")] | None = _override("resolution")
    aspect_ratio: Annotated[StrictStr, _choices("aspect_ratio")] | None = _override("aspect_ratio")
    sound: StrictBool | None = _override("sound")
    fixed_lens: StrictBool | None = _override("fixed_lens")
    fit: Fit | None = Field(
        default=None,
        description="How local images are brought to the aspect ratio. Left out, it is as the defaults say.",
    )

    def settings(self, defaults: Defaults) -> ClipSettings:
        """Lay what is said here over the defaults."""
        fields = set(ClipSettings.model_fields)
        said = self.model_dump(include=fields, exclude_none=True)
        return ClipSettings(**{**defaults.model_dump(include=fields), **said})

    def says(self, field: str) -> bool:
        """Tell whether this field is said here, not left to the defaults."""
        return getattr(self, field) not in (None, "")


class _Image(_Words):  # a base of its own, so that forms ask for it first
    image: Text = Field(
        description="Picture to begin at: a path relative to the storyboard, or an https URL."
    )


class Shot(ClipWords, _Image):
    """One image of a film, with what happens from it to the next."""


class Storyboard(_Words):
    """A film: images in order, with what happens between them."""

    title: Text = Field(default="", description="Names the production.")
    defaults: Defaults = Field(default=Defaults(), description="What holds for every shot.")
    loop: StrictBool = Field(default=False, description="Add a clip from the last image to the first.")
    shots: tuple[Shot, ...] = Field(description="The images in order, two or more.")


class _Images(_Words):
    name: Text = Field(default="", description="What people call the clip. Left out, its prompt's beginning.")
    images: tuple[Text, ...] = Field(
        default=(),
        description="No picture, a start picture, or a start and an end picture: "
        "each a path relative to the file, or an https URL.",
    )


class ClipSpec(ClipWords, _Images):
    """One clip by itself, made from its prompt and up to two images."""


class ClipList(_Words):
    """Clips that do not belong together."""

    title: Text = Field(default="", description="Names the production.")
    defaults: Defaults = Field(default=Defaults(), description="What holds for every clip.")
    clips: tuple[ClipSpec, ...] = Field(description="The clips, one or more.")


class ClipRequest(BaseModel):
    """One clip that an author asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What people call it; unique within its production.")
    prompt: str = Field(description="What happens in it.")
    images: tuple[SourceImage, ...] = Field(description="The start frame and the end frame, or fewer.")
    settings: ClipSettings = Field(description="How it looks and sounds.")
    take: int = Field(default=1, description="Which version of it.")

    @property
    def mode(self) -> Literal["text-to-video", "image-to-video"]:
        """The API's mode, which follows from the pictures."""
        return "image-to-video" if self.images else "text-to-video"

    def input(self, image_urls: Iterable[str]) -> ClipInput:
        """Return what the API is asked, given where it can fetch the pictures.

        Raises:
            ValueError: There is not one URL for each picture.
        """
        urls = tuple(image_urls)
        if len(urls) != len(self.images):
            raise ValueError(f"{self.name!r} has {len(self.images)} images, not {len(urls)}")
        return ClipInput(mode=self.mode, prompt=self.prompt, image_urls=urls, **self.settings.model_dump())
