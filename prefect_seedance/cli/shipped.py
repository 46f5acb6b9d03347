"""Find files that the wheel ships."""

from pathlib import Path

from prefect_seedance.errors import SetupError

_PACKAGE = Path(__file__).parents[1]


def shipped(path: str) -> Path:
    """Return a shipped file: in an installed package, or beside the package in a checkout.

    Raises:
        SetupError: If it is missing.
    """
    found = next((each for each in (_PACKAGE / path, _PACKAGE.parent / path) if each.is_file()), None)
    if found is None:
        raise SetupError(f"The file {path} is missing from the package; install prefect-seedance again")
    return found
