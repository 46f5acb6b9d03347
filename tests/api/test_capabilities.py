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
        ("seedance-1-5-pro: {settings: {sound: audio}}", "settings cannot be changed"),
        ("seedance-1-5-pro: {modes: {m: {}}}", "modes cannot be changed"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    """The message names the model, the field, and the expected value."""
    with pytest.raises(ModelFileError) as caught:
        parse_models(text, known=CAPABILITIES)

    assert message in str(caught.value)
