"""Messages about errors and wrong command lines."""

import json

import pytest

from prefect_seedance.cli import main
from prefect_seedance.cli.errors import complain, option_name, warn


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--deadline", "soon"], "--deadline: write seconds, or a duration such as 90m or 2h, not 'soon'"),
        (["--deadline", "0"], "--deadline: must be greater than 0, not 0s"),
        (["--poll-every=-1s"], "--poll-every: write seconds, or a duration such as 90m or 2h, not '-1s'"),
        (["--images-lifetime", "8d"], "--images-lifetime: write seconds, or a duration such as 90m or 2h"),
        (["--images-lifetime", "200h"], "--images-lifetime: must be at most 168h, not 720000s"),
        (["--crossfade", "3s"], "--crossfade: must be at most 2s, not 3s"),
        (["--min-similarity", "2"], "--min-similarity: must be less than or equal to 1, not '2'"),
        (["--on-unresolved", "pray"], "--on-unresolved: must be 'report' or 'resubmit', not 'pray'"),
    ],
)
def test_invalid_option_is_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid value is reported with its option and the remedy, in one line."""
    assert main(["produce", "board.yaml", "--archive", "films", *words]) == 2

    error = capsys.readouterr().err
    assert error.startswith(f"prefect-seedance: {message}")
    assert error.endswith(". See prefect-seedance produce --help\n")
    assert error.count("\n") == 1


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
