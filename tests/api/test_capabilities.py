"""The form of a file of models."""

import pytest

from prefect_seedance.api.capabilities import ModelFileError, parse_models
from prefect_seedance.api.models import CAPABILITIES

NEW = "seedance-2-0"


def test_likeness_fills_fields() -> None:
    """An entry takes over the fields that it omits, but not prices, end and successor."""
    parsed = parse_models("new: {like: seedance-1-5-pro, durations_seconds: 2-4}", known=CAPABILITIES)

    model = parsed["new"]
    assert model.durations_seconds == (2, 3, 4)
    assert model.resolutions == ("480p", "720p")
    assert (model.retired_after, model.successor, model.prices) == (None, None, ())


def test_known_model_gets_prices() -> None:
    """An entry with a known id changes prices and end, and keeps the rest."""
    text = f"{NEW}: {{prices: [{{per_second: 0.05}}], retired_after: 2027-01-31}}"

    model = parse_models(text, known=CAPABILITIES)[NEW]

    assert str(model.prices[0].per_second) == "0.05"
    assert model.modes == CAPABILITIES[NEW].modes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must map the ids"),
        ("- a", "must map the ids"),
        ("a: [", "not YAML"),
        ("7: {}", "7 is not the id of a model"),
        ("'a/b': {like: seedance-2-0}", "'a/b' is not the id of a model"),
        ("a: text", "a must have fields"),
        ("a: {like: b}", "a.like: unknown model 'b'; known: seedance-1-5-pro"),
        ("a: {}", "a.source: Field required"),
        ("a: {like: seedance-2-0, colour: red}", "a.colour: unknown field; known fields: like, source"),
        (
            "a: {like: seedance-2-0, durations_seconds: []}",
            "a.durations_seconds: Tuple should have at least 1",
        ),
        (
            "a: {like: seedance-2-0, durations_seconds: 9-4}",
            "a.durations_seconds: Tuple should have at least 1",
        ),
        ("a: {like: seedance-2-0, durations_seconds: [0]}", "a.durations_seconds.0: Input should be greater"),
        ("a: {like: seedance-2-0, settings: {camera: x}}", "a.settings.camera"),
        (
            "a: {like: seedance-2-0, modes: {m: {frames: [1, 2], references: {images: 1}}}}",
            "either frames or",
        ),
        ("a: {like: seedance-2-0, prices: [{per_second: -1}]}", "a.prices.0.per_second"),
        ("a: {like: [1]}", "a.like: unknown model [1]; known: seedance-1-5-pro"),
        ("a: {like: seedance-2-0, modes: {m: {frames: [2, 1]}}}", "a.modes.m.frames: the first number must"),
        ("a: {like: seedance-2-0, prompt_characters: [5, 1]}", "the first number must not be larger"),
        ("a: {like: seedance-2-0, settings: {sound: x, web_search: x}}", "'x' is the name of another field"),
        ("a: {like: seedance-2-0, settings: {sound: prompt}}", "a.settings: 'prompt' is the name of another"),
        ("a: {like: seedance-2-0, settings: {sound: ''}}", "a.settings.sound: String should match"),
        ("a: {like: seedance-2-0, generation_seconds: {4: [9, 1]}}", "the first number must not be larger"),
        ("a: {like: seedance-2-0, generation_seconds: {4: [1, .nan]}}", "a.generation_seconds.4.1"),
        ("a: {like: seedance-2-0, result_days: .inf}", "a.result_days"),
        ("a: {like: seedance-2-0, settings: {sound: gerät}}", "a.settings.sound: String should match"),
        ("a: {like: seedance-2-0, aspect_ratios: ['\u0661:1']}", "a.aspect_ratios.0: String should match"),
        ("a: {like: seedance-2-0, aspect_ratios: [wide]}", "a.aspect_ratios.0: String should match"),
        ("a: {like: seedance-2-0, aspect_ratios: ['0:1']}", "a.aspect_ratios.0: String should match"),
        ("a: {like: seedance-2-0, resolutions: ['']}", "a.resolutions.0: String should match"),
        ("a: {like: seedance-2-0, video_files: {formats: [AVI], max_bytes: 1}}", "a.video_files.formats.0"),
        (
            "a: {like: seedance-2-0, audio_files: {formats: [MP3], max_bytes: 1, seconds: [9, 2]}}",
            "first num",
        ),
        ("a: {like: seedance-2-0}\na: {like: seedance-1-5-pro}", "'a' is repeated"),
        ("seedance-1-5-pro: {settings: {sound: audio}}", "settings cannot be changed"),
        ("seedance-1-5-pro: {modes: {m: {}}}", "modes cannot be changed"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    """The message names the model, the field, and the expected value."""
    with pytest.raises(ModelFileError) as caught:
        parse_models(text, known=CAPABILITIES)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "references", "mode"), [(0, 0, "any"), (1, 0, "any"), (0, 1, "omni"), (2, 1, "omni")]
)
def test_one_mode_may_serve_all(frames: int, references: int, mode: str) -> None:
    """A mode whose images are optional is also the one of clips without images."""
    text = "a: {like: seedance-2-0, modes: {omni: {references: {images: 9}}, any: {frames: [0, 2]}}}"

    model = parse_models(text, known=CAPABILITIES)["a"]

    assert model.mode_for(frames=frames, references=references) == mode
