import json

import pytest
from pydantic import BaseModel, ValidationError

from prefect_seedance.api.wire import ClipInput, ClipSettings
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.schema import (
    ClipList,
    ClipOverrides,
    ClipRequest,
    ClipSpec,
    Defaults,
    Shot,
    Storyboard,
)

_DAWN = SourceImage(source="https://example.com/dawn.png")
_NOON = SourceImage(source="https://example.com/noon.png")


def test_every_setting_can_be_overridden() -> None:
    """Defaults and clips have the same settings, with the same names."""
    shared = set(ClipSettings.model_fields) | {"prompt", "fit", "model", "references"}

    assert shared | {"take"} == set(ClipOverrides.model_fields)
    assert shared == set(Defaults.model_fields)


@pytest.mark.parametrize(
    ("defaults", "overrides", "settings"),
    [
        pytest.param({}, {}, ClipSettings(), id="nothing set"),
        pytest.param({"duration": 8}, {}, ClipSettings(duration=8), id="only the defaults"),
        pytest.param({"duration": 8}, {"duration": 12}, ClipSettings(duration=12), id="the shot wins"),
        pytest.param(
            {"duration": 8}, {"duration": 4}, ClipSettings(duration=4), id="even with a default value"
        ),
        pytest.param({"sound": True}, {"sound": False}, ClipSettings(sound=False), id="even with false"),
        pytest.param({"sound": True}, {"sound": None}, ClipSettings(sound=True), id="null sets nothing"),
        pytest.param(
            {"duration": 8, "sound": True},
            {"resolution": "480p", "fixed_lens": True},
            ClipSettings(duration=8, sound=True, resolution="480p", fixed_lens=True),
            id="field by field",
        ),
    ],
)
def test_shot_overrides_defaults(
    defaults: dict[str, object], overrides: dict[str, object], settings: ClipSettings
) -> None:
    """A shot's settings take precedence over the storyboard's defaults, and those over ours."""
    shot = Shot.model_validate({"image": "a.png", **overrides})

    assert shot.settings(Defaults.model_validate(defaults)) == settings


def test_precedence_survives_json() -> None:
    """Omitted settings stay omitted after every field was sent as JSON."""
    board = Storyboard(
        defaults=Defaults(duration=8, sound=True),
        shots=(Shot(image="a.png", prompt="waves"), Shot(image="b.png", duration=4)),
    )

    back = Storyboard.model_validate_json(board.model_dump_json())

    assert [shot.settings(back.defaults) for shot in back.shots] == [
        ClipSettings(duration=8, sound=True),
        ClipSettings(duration=4, sound=True),
    ]


def test_whitespace_is_stripped() -> None:
    """YAML's block scalars end with a line break, which is not part of the prompt."""
    assert Shot(image=" a.png ", prompt="waves\n") == Shot(image="a.png", prompt="waves")


def test_lone_surrogate_is_refused() -> None:
    """Text that UTF-8 cannot encode would fail only during the submission."""
    with pytest.raises(ValidationError, match="raw data as a unicode"):
        Shot(image="a.png", prompt="waves \ud83d")


@pytest.mark.parametrize("schema", [Shot, ClipSpec, Defaults, Storyboard, ClipList])
def test_forms_explain_every_field(schema: type[BaseModel]) -> None:
    """Every field has a description and its choices, because Prefect shows the schema as a form."""
    fields = schema.model_json_schema()["properties"]

    assert [name for name, field in fields.items() if not field.get("description", "").endswith(".")] == []
    choices = {
        name: (field["anyOf"][0] if "anyOf" in field else field).get("enum") for name, field in fields.items()
    }
    durations, resolutions = list(range(4, 16)), ["480p", "720p", "1080p"]
    assert choices.get("duration", durations) == durations
    assert choices.get("resolution", resolutions) == resolutions


def test_forms_begin_with_image_and_prompt() -> None:
    """A shot's image and prompt come before settings that rarely change."""
    assert list(Shot.model_json_schema()["properties"])[:2] == ["image", "prompt"]
    assert list(ClipSpec.model_json_schema()["properties"])[:3] == ["name", "images", "prompt"]


@pytest.mark.parametrize(
    ("images", "mode"),
    [
        pytest.param((), "text-to-video", id="no image"),
        pytest.param((_DAWN,), "image-to-video", id="start"),
        pytest.param((_DAWN, _NOON), "image-to-video", id="start and end"),
    ],
)
def test_mode_follows_from_images(images: tuple[SourceImage, ...], mode: str) -> None:
    """The mode is derived, so it cannot contradict the images."""
    request = ClipRequest(name="x", prompt="waves", images=images, settings=ClipSettings(duration=8))

    clip_input = request.input([f"https://hosted.example/{n}" for n in range(len(images))])

    assert clip_input.mode == mode
    assert clip_input == ClipInput(
        mode=request.mode,
        prompt="waves",
        duration=8,
        image_urls=("https://hosted.example/0", "https://hosted.example/1")[: len(images)],
    )


def test_input_needs_a_url_per_image() -> None:
    """A missing end image would buy another clip than the planned one."""
    request = ClipRequest(name="x", prompt="waves", images=(_DAWN, _NOON), settings=ClipSettings())

    with pytest.raises(ValueError, match="needs the URLs of 2 files, got 1"):
        request.input(["https://hosted.example/0"])


def test_clip_request_survives_json() -> None:
    """A request can be passed between processes as JSON."""
    request = ClipRequest(name="x", prompt="waves", images=(_DAWN,), settings=ClipSettings(), take=2)

    assert ClipRequest.model_validate(json.loads(request.model_dump_json())) == request
