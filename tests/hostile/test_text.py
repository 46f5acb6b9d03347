"""Text of the API and of authors that controls terminals, hides other text, or is markup."""

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prefect import runtime
from rich.console import Console

from prefect_seedance.api.responses import parse_response
from prefect_seedance.api.wire import Generation
from prefect_seedance.cli.errors import complain
from prefect_seedance.cli.printing import show
from prefect_seedance.cli.progress import Board, Lines
from prefect_seedance.cli.summary import summary
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Outcome
from prefect_seedance.clips.retry import failure
from prefect_seedance.errors import ServerError
from prefect_seedance.orchestration.artifacts import _plain, _row
from prefect_seedance.orchestration.states import final_state, named_after
from prefect_seedance.printable import MAX_CHARACTERS, escape, get_logger, one_line
from prefect_seedance.production.progress import Progress
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.storage.store import Store
from tests.orchestration.conftest import CLIP
from tests.records import FAILED, archived_clip, manifest_of, record_in_flight
from tests.reports import render

ANSWER = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.\u2066exe\u2028line\r\nnext\x00[b](javascript:1)<script>"
"""Escape sequences, marks of direction, ends of lines, Markdown and HTML."""

HOSTILE = f"{ANSWER}\ud800"
"""The same with half a surrogate pair, which a file's name can contain, and no answer."""

HIDDEN = set("\x1b\x07\x9b\u202e\u2066\u2028\r\n\x00\ud800")

CLIP_OF_OTHERS = CLIP.model_copy(update={"name": HOSTILE})


def is_safe(text: str, *, lines: bool = False) -> bool:
    """Return whether text has no hidden characters; line feeds may separate lines."""
    return not HIDDEN & set(text.replace("\n", "") if lines else text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dawn → noon", "dawn → noon"),
        ("Été à Nice, שלום", "Été à Nice, שלום"),
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("a\u202eb", "a\\u202eb"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\x7f\x9b", "\\u007f\\u009b"),
    ],
    ids=["plain", "scripts", "emoji", "escape sequence", "direction", "tag", "delete"],
)
def test_hidden_characters_are_escaped(text: str, shown: str) -> None:
    """Hidden characters are escaped as in JSON; scripts and emoji stay."""
    assert escape(text) == one_line(text) == shown


def test_lines_are_bounded() -> None:
    """A text becomes one line of at most 300 characters, also if it has a million."""
    assert one_line(" a\n b\t c ") == "a b c"
    assert len(one_line("ab " * 1_000_000)) == MAX_CHARACTERS
    assert one_line("x" * 301).endswith("x…")
    assert one_line("\x00" * 299).endswith("…")


FIELDS = [
    pytest.param({"state": ANSWER}, lambda found: found.state, id="state"),
    pytest.param({"failCode": ANSWER}, lambda found: found.fail_code, id="code"),
    pytest.param({"failMsg": ANSWER * 9}, lambda found: found.fail_message, id="message"),
    pytest.param({"failMsg": {"a": [ANSWER]}}, lambda found: found.fail_message, id="nested message"),
]


@pytest.mark.parametrize(("data", "read"), FIELDS)
def test_answers_become_lines(data: dict[str, Any], read: Callable[[Generation], str]) -> None:
    """The text of a status is one printable line; the answer itself is kept as JSON."""
    data = json.loads(json.dumps(data))
    generation = Generation.from_status(data, generation_id="task_1")

    assert is_safe(read(generation))
    assert 0 < len(read(generation)) <= MAX_CHARACTERS


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
def test_errors_become_lines(status: int) -> None:
    """The message of an error is one printable line without the key."""
    key = "key-of-a-test"
    request = httpx.Request("POST", "https://api.example", headers={"Authorization": f"Bearer {key}"})
    content = json.dumps({"code": 500 if status == 200 else status, "message": ANSWER * 9 + key}).encode()

    with pytest.raises(Exception, match="The API answered") as error:
        parse_response(httpx.Response(status, content=content, request=request))

    assert is_safe(str(error.value))
    assert len(str(error.value)) < 400
    assert key not in str(error.value)


def test_key_is_not_cut_in_half() -> None:
    """The key is replaced before the message is cut, so that no part of it remains."""
    key = "key-of-a-test"
    request = httpx.Request("POST", "https://api.example", headers={"Authorization": f"Bearer {key}"})
    content = json.dumps({"code": 500, "message": "x" * 292 + key}).encode()

    with pytest.raises(ServerError) as error:
        parse_response(httpx.Response(500, content=content, request=request))

    assert "key-of" not in str(error.value)


def hostile_manifest() -> Manifest:
    """Return a manifest with hostile text in every field that others write."""
    outcome = FAILED.model_copy(update={"code": HOSTILE, "message": HOSTILE})
    made = archived_clip(CLIP_OF_OTHERS, findings=(HOSTILE,))
    entries = (
        Entry.of(CLIP_OF_OTHERS, ClipStatus.made, archived=made),
        Entry.of(CLIP_OF_OTHERS, ClipStatus.failed, error=ServerError(f"{outcome.message}")).model_copy(
            update={"number": 2, "generation_id": "[x](https://elsewhere.example)"}
        ),
    )
    return manifest_of(*entries).model_copy(update={"title": HOSTILE, "film_reason": HOSTILE})


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_terminal_shows_text(
    is_terminal: bool,  # noqa: FBT001  # a column
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The summary controls neither a terminal nor a pipe."""
    console = Console(force_terminal=is_terminal, width=80, color_system=None, markup=False, highlight=False)
    monkeypatch.setattr("prefect_seedance.cli.printing.terminal", lambda **_: console)

    show(*summary(hostile_manifest(), again="again", width=80))

    assert is_safe(capsys.readouterr().out, lines=True)


def test_json_stays_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """Escaped text in JSON is the same text for a program."""
    text = "\x1b\x9b\u202e\U000e0041\x7f\ud800 é"

    show(json.dumps({"text": text}, ensure_ascii=False))

    out = capsys.readouterr().out
    assert is_safe(out, lines=True)
    assert json.loads(out) == {"text": text}


def test_board_shows_text() -> None:
    """The live table, and the lines of a pipe, show a clip's name and the API's state as text."""
    console, out = Console(file=io.StringIO(), width=80, color_system=None), io.StringIO()
    board, lines = Board(HOSTILE, console=console), Lines(out)
    progress = Progress(CLIP_OF_OTHERS, ClipStatus.failed, HOSTILE, is_final=True)
    board._live.start = lambda *_: None  # type: ignore[method-assign]  # it would write to the terminal
    board.show(progress)
    lines.show(progress)

    with console.capture() as capture:
        console.print(board.render())

    assert is_safe(capture.get(), lines=True)
    assert is_safe(out.getvalue(), lines=True)
    assert out.getvalue().count("\n") == 1


def test_complaint_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """An error message cannot control the terminal."""
    complain("ServerError", HOSTILE, code=1, json=True)

    out, err = capsys.readouterr()
    assert is_safe(err, lines=True)
    assert json.loads(out)["error"]["message"] == HOSTILE


def test_log_lines_are_text(caplog: pytest.LogCaptureFixture) -> None:
    """A log record is one line, whatever names and errors are in it."""
    with caplog.at_level(logging.WARNING):
        get_logger("prefect_seedance.test").warning("%s failed: %s (%d)", HOSTILE, ServerError(HOSTILE), 7)

    (record,) = caplog.records
    assert is_safe(record.getMessage())
    assert record.getMessage().endswith("(7)")
    assert record.filename == "test_text.py"


async def test_report_is_text() -> None:
    """The report's page has no hidden characters, and no markup of others."""
    page = await render(Store.open("memory://hostile"), hostile_manifest())

    assert is_safe(page, lines=True)
    assert "<script>" not in page.replace("<script>\n", "")


def test_artifacts_are_text() -> None:
    """Descriptions and tables of artifacts are neither Markdown nor more than a line."""
    cells = [cell for entry in hostile_manifest().clips for cell in _row(entry).values()]

    for text in (_plain(HOSTILE), *(cell for cell in cells if isinstance(cell, str))):
        assert is_safe(text)
        assert "](" not in text
        assert "<script>" not in text


def test_states_are_text() -> None:
    """The message of a flow run's final state has one line for each reason."""
    state = final_state(hostile_manifest())

    assert is_safe(state.message or "", lines=True)


def test_run_names_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of flow runs and task runs are one line."""
    monkeypatch.setattr(runtime.flow_run, "parameters", {"storyboard": {"title": HOSTILE}}, raising=False)

    assert is_safe(named_after("storyboard")())
    assert is_safe(CLIP_OF_OTHERS.label)
    assert is_safe(archived_clip(CLIP_OF_OTHERS).label)
    assert is_safe(hostile_manifest().label)


async def test_old_records_are_text() -> None:
    """Text that an earlier version recorded is escaped where it is shown; the record keeps it."""
    attempt = await record_in_flight(Store.open("memory://old"), CLIP)
    outcome = Outcome.model_validate({**FAILED.model_dump(), "message": "a\x1b[2Jb"})

    error = failure(attempt.model_copy(update={"outcome": outcome}))

    assert outcome.message == "a\x1b[2Jb"
    assert is_safe(escape(str(error)))
