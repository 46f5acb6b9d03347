import json

import pytest
from pydantic import BaseModel, ValidationError

from prefect_seedance.api.wire import ClipInput, ClipSettings
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.schema import (
    ClipList,
    ClipRequest,
    ClipSpec,
    ClipWords,
    Defaults,
    Shot,
    Storyboard,
)

_DAWN = SourceImage(source="https://example.com/dawn.png")
_NOON = SourceImage(source="https://example.com/noon.png")


def test_every_setting_can_be_overridden() -> None:
    """What can be said for all clips can be said of one, under the same name."""
    assert set(ClipSettings.model_fields) | {"prompt", "take", "fit"} == set(ClipWords.model_fields)
    assert set(ClipSettings.model_fields) | {"prompt", "fit"} == set(Defaults.model_fields)


@pytest.mark.parametrize(
    ("defaults", "said", "meant"),
    [
        pytest.param({}, {}, ClipSettings(), id="nothing said"),
        pytest.param({"duration": 8}, {}, ClipSettings(duration=8), id="only the defaults"),
        pytest.param({"duration": 8}, {"duration": 12}, ClipSettings(duration=12), id="the shot wins"),
        pytest.param(
            {"duration": 8}, {"duration": 4}, ClipSettings(duration=4), id="even with a default value"
        ),
        pytest.param({"sound": True}, {"sound": False}, ClipSettings(sound=False), id="even with false"),
        pytest.param({"sound": True}, {"sound": None}, ClipSettings(sound=True), id="null says nothing"),
        pytest.param(
            {"duration": 8, "sound": True},
            {"resolution": "480p", "fixed_lens": True},
            ClipSettings(duration=8, sound=True, resolution="480p", fixed_lens=True),
            id="field by field",
        ),
    ],
)
def test_shot_overrides_defaults(
    defaults: dict[str, object], said: dict[str, object], meant: ClipSettings
) -> None:
    """A shot's word counts before the defaults', and theirs before ours."""
    assert Shot(image="a.png", **said).settings(Defaults(**defaults)) == meant


def test_precedence_survives_json() -> None:
    """A queue that sends every field does not turn unsaid settings into said ones."""
    board = Storyboard(
        defaults=Defaults(duration=8, sound=True),
        shots=(Shot(image="a.png", prompt="waves"), Shot(image="b.png", duration=4)),
    )

    back = Storyboard.model_validate_json(board.model_dump_json())

    assert [shot.settings(back.defaults) for shot in back.shots] == [
        ClipSettings(duration=8, sound=True),
        ClipSettings(duration=4, sound=True),
    ]


def test_blanks_around_text_do_not_count() -> None:
    """YAML's blocks end with a line end, and no prompt means it."""
    assert Shot(image=" a.png ", prompt="waves\n") == Shot(image="a.png", prompt="waves")


def test_half_a_character_is_refused() -> None:
    """What UTF-8 cannot hold would fail only when it is sent."""
    with pytest.raises(ValidationError, match="raw data as a unicode"):
        Shot(image="a.png", prompt="waves \ud83d")


@pytest.mark.parametrize("words", [Shot, ClipSpec, Defaults, Storyboard, ClipList])
def test_forms_explain_every_field(words: type[BaseModel]) -> None:
    """Prefect shows the schema as a form, so every field has a sentence and every choice its list."""
    fields = words.model_json_schema()["properties"]

    assert [name for name, field in fields.items() if not field.get("description", "").endswith(".")] == []
    choices = {
        name: (field["anyOf"][0] if "anyOf" in field else field).get("enum") for name, field in fields.items()
    }
    assert choices.get("duration", [4, 8, 12]) == [4, 8, 12]
    assert choices.get("resolution", ["480p", "720p"]) == ["480p", "720p"]


def test_forms_ask_first_for_what_matters() -> None:
    """A shot's image and prompt come before the settings that are rarely touched."""
    assert list(Shot.model_json_schema()["properties"])[:2] == ["image", "prompt"]
    assert list(ClipSpec.model_json_schema()["properties"])[:3] == ["name", "images", "prompt"]


@pytest.mark.parametrize(
    ("pictures", "mode"),
    [
        pytest.param((), "text-to-video", id="no picture"),
        pytest.param((_DAWN,), "image-to-video", id="start"),
        pytest.param((_DAWN, _NOON), "image-to-video", id="start and end"),
    ],
)
def test_mode_follows_from_pictures(pictures: tuple[SourceImage, ...], mode: str) -> None:
    """Nobody says the mode, so that it cannot contradict the pictures."""
    request = ClipRequest(name="x", prompt="waves", images=pictures, settings=ClipSettings(duration=8))

    asked = request.input([f"https://hosted.example/{n}" for n in range(len(pictures))])

    assert asked == ClipInput(
        mode=mode,
        prompt="waves",
        duration=8,
        image_urls=("https://hosted.example/0", "https://hosted.example/1")[: len(pictures)],
    )


def test_input_wants_a_url_for_each_picture() -> None:
    """A forgotten end frame would buy another clip than was planned."""
    request = ClipRequest(name="x", prompt="waves", images=(_DAWN, _NOON), settings=ClipSettings())

    with pytest.raises(ValueError, match="has 2 images, not 1"):
        request.input(["https://hosted.example/0"])


def test_clip_request_survives_json() -> None:
    """It travels between processes as JSON."""
    request = ClipRequest(name="x", prompt="waves", images=(_DAWN,), settings=ClipSettings(), take=2)

    assert ClipRequest.model_validate(json.loads(request.model_dump_json())) == request
