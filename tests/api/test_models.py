import pytest

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL, generation_seconds, result_lifetime


@pytest.mark.parametrize("model", CAPABILITIES, ids=str)
def test_durations_have_times(model: str) -> None:
    """For every duration of every model the time of a generation is known."""
    limits = CAPABILITIES[model]

    for duration in limits.durations_seconds:
        shortest, longest = generation_seconds(model, duration)
        assert 0 < shortest < longest


def test_pins_the_contract() -> None:
    """Limits that no other test uses are those of the contract."""
    limits = CAPABILITIES["seedance-1-5-pro"]

    assert limits.result_lifetime.days == 15
    assert limits.max_image_bytes == 10_000_000
    assert limits.image_formats == ("JPEG", "PNG", "WEBP")
    assert limits.generation_seconds == {4: (40, 60), 8: (60, 90), 12: (90, 120)}


@pytest.mark.parametrize(
    ("model", "duration", "seconds"),
    [(DEFAULT_MODEL, 8, (60, 90)), (DEFAULT_MODEL, 15, (40, 120)), ("seedance-9", 4, (40, 60))],
    ids=["known", "other duration", "other model"],
)
def test_unknown_generations_have_times(model: str, duration: int, seconds: tuple[float, float]) -> None:
    """A generation that a newer version submitted is waited for as the others are."""
    assert generation_seconds(model, duration) == seconds
    assert result_lifetime(model).days == 15


def test_default_model_is_known() -> None:
    """The limits of the default model are known."""
    assert DEFAULT_MODEL == "seedance-1-5-pro"
    assert DEFAULT_MODEL in CAPABILITIES
