import pytest

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL


@pytest.mark.parametrize("model", CAPABILITIES, ids=str)
def test_durations_have_times(model: str) -> None:
    """For every duration of every model the time of a generation is known."""
    limits = CAPABILITIES[model]

    assert set(limits.generation_seconds) == set(limits.durations_seconds)


def test_pins_the_contract() -> None:
    """Limits that no other test uses are those of the contract."""
    limits = CAPABILITIES["seedance-1-5-pro"]

    assert limits.result_lifetime.days == 15
    assert limits.max_image_bytes == 10_000_000
    assert limits.image_formats == ("JPEG", "PNG", "WEBP")
    assert limits.generation_seconds == {4: (40, 60), 8: (60, 90), 12: (90, 120)}


def test_default_model_is_known() -> None:
    """The limits of the default model are known."""
    assert DEFAULT_MODEL == "seedance-1-5-pro"
    assert DEFAULT_MODEL in CAPABILITIES
