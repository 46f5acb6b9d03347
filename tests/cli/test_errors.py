"""Messages about errors."""

import json

import pytest

from prefect_seedance.cli.errors import complain, warn
from prefect_seedance.doors import option_name


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("deadline_seconds", "deadline"),
        ("images_url", "images-url"),
        ("price_per_second", "price-per-second"),
    ],
)
def test_option_drops_unit(field: str, option: str) -> None:
    """The option of a duration has no unit, because its value may have one."""
    assert option_name(field) == option


def test_complains_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """People get the message, programs an object with kind and exit code."""
    code = complain("SetupError", "There is no archive", code=2, json=True)

    out, err = capsys.readouterr()
    assert code == 2
    assert err == "prefect-seedance: There is no archive\n"
    assert json.loads(out) == {
        "error": {"kind": "SetupError", "message": "There is no archive"},
        "exit_code": 2,
    }


def test_warning_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning begins with the word, on standard error."""
    warn("the images expire first")

    assert capsys.readouterr() == ("", "prefect-seedance: warning: the images expire first\n")
