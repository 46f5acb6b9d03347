"""Parameters of flows as options."""

import pytest

from flows.generate_clips import generate_clips
from flows.storyboard_to_transitions import storyboard_to_transitions
from prefect_seedance import Budget, Hosting, Loading, Output, RetryPolicy, Waiting
from prefect_seedance.orchestration.parameters import options_from

_KINDS = (Loading, Hosting, RetryPolicy, Budget, Waiting, Output)
_OTHERS = {"storyboard", "clips", "archive", "name", "credentials"}


def test_parameters_become_options() -> None:
    """The fields that are parameters are taken, and the others have their defaults."""
    parameters = {"name": "sea", "join": "exact", "wait": False, "max_seconds": 8}

    assert options_from(parameters, Output) == Output(join="exact")
    assert options_from(parameters, Waiting) == Waiting(wait=False)
    assert options_from(parameters, Hosting) == Hosting()


def test_each_parameter_has_one_option() -> None:
    """No parameter of a shipped flow is ignored, or means two options."""
    for flow in (storyboard_to_transitions, generate_clips):
        for name in flow.parameters.properties.keys() - _OTHERS:
            assert sum(name in kind.model_fields for kind in _KINDS) == 1, name


@pytest.mark.parametrize("kind", [Loading, Hosting])
def test_wrong_value_is_refused(kind: type[Loading | Hosting]) -> None:
    """A value that an option does not accept is refused, as by the class itself."""
    with pytest.raises(ValueError, match=r"images_lifetime_seconds|prompt"):
        options_from({"images_lifetime_seconds": -1, "prompt": 1}, kind)
