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


def test_terminals_wrap_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal shows whole words, and whole URLs to copy."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    url = "https://studio.example/a/long/path/of/images/for/the/film"

    complain("SetupError", f"The archive has no public address; use {url} for it", code=2, json=False)

    lines = capsys.readouterr().err.splitlines()
    assert url in [word for line in lines for word in line.split()]
    assert (
        " ".join(lines).split()
        == f"prefect-seedance: The archive has no public address; use {url} for it".split()
    )
    assert all(len(line) <= 40 for line in lines if url not in line)


def test_warning_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning begins with the word, on standard error."""
    warn("the images expire first")

    assert capsys.readouterr() == ("", "prefect-seedance: warning: the images expire first\n")
