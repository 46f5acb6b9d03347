"""Messages about wrong command lines."""

import pytest

from prefect_seedance.cli import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--deadline", "soon"], "--deadline: write seconds, or a duration such as 90m or 2h, not 'soon'"),
        (["--deadline", "0"], "--deadline: must be greater than 0, not 0s"),
        (["--poll-every=-1s"], "--poll-every: write seconds, or a duration such as 90m or 2h, not '-1s'"),
        (["--images-lifetime", "8d"], "--images-lifetime: write seconds, or a duration such as 90m or 2h"),
        (["--images-lifetime", "200h"], "--images-lifetime: must be at most 168h, not 720000s"),
        (["--crossfade", "3s"], "--crossfade: must be at most 2s, not 3s"),
        (["--min-similarity", "2"], "--min-similarity: must be at most 1, not '2'"),
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "zzz",
            "There is no command 'zzz'; the commands are demo, init, plan, models, balance, produce, ",
        ),
        ("plam", "There is no command 'plam'. Did you mean plan?"),
        ("produce", "Give STORYBOARD."),
        ("produce board.yaml", "Give --archive, or set SEEDANCE_ARCHIVE."),
        ("produce board.yaml --archive", "--archive needs a value."),
        (
            "produce board.yaml --archive films --dedline 3h",
            "produce has no option --dedline. Did you mean --",
        ),
        ("plan board.yaml --json=perhaps", "--json: must be yes or no, not 'perhaps'."),
        ("plan one.yaml two.yaml", "plan takes fewer values; leave out 'two.yaml'."),
        ("sandbox --port abc", "--port: must be a whole number, not 'abc'."),
        ("sandbox --serve nowhere", "--serve: must be an existing folder, not 'nowhere'."),
        ("sandbox --faults nowhere", "--faults: must be an existing file, not 'nowhere'."),
    ],
)
def test_mistake_is_explained(
    words: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake is one sentence that names the word and the remedy, then the page that helps."""
    monkeypatch.delenv("SEEDANCE_ARCHIVE", raising=False)

    assert main(words.split()) == 2

    error = capsys.readouterr().err
    assert error.startswith(f"prefect-seedance: {message}")
    assert error.endswith(" --help\n")
    assert error.count("\n") == 1


def test_list_of_commands_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """The list ends with the last command."""
    main(["zzz"])

    assert ", sandbox. See" in capsys.readouterr().err
