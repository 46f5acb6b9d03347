"""Files that the wheel ships; tests/journeys/test_wheel.py finds them in an installed package."""

import pytest

from prefect_seedance.cli.shipped import shipped
from prefect_seedance.errors import SetupError


@pytest.mark.parametrize(
    "path",
    [
        "deployments/automations.yaml",
        "deployments/notifications.yaml",
        "deployments/prefect.yaml",
        "examples/lighthouse/storyboard.yaml",
    ],
)
def test_finds_files(path: str) -> None:
    """A shipped file is found beside the package."""
    assert shipped(path).is_file()


def test_missing_file_is_an_error() -> None:
    """A package without a file is broken, and the message says what to do."""
    with pytest.raises(SetupError, match="install prefect-seedance again"):
        shipped("deployments/nowhere.yaml")
