import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import parse_storyboard

_FIRST = "title: T\nshots:\n  - image: https://example.com/a.png\n"
_LAST = "  - image: https://example.com/b.png\n"


def _refusal(text: str) -> list[str]:
    with pytest.raises(StoryboardError) as raised:
        parse_storyboard(Document.parse(text.encode(), name="board.yaml"))
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("    prompt\uff1adrifting", "FULLWIDTH COLON", id="full-width colon"),
        pytest.param(
            "    prompt: drifting\n      duration\uff1a8", "FULLWIDTH COLON", id="in a continuation"
        ),
        pytest.param("    prompt; drifting", "SEMICOLON", id="semicolon"),
        pytest.param("    prompt = drifting", "EQUALS SIGN", id="equals sign"),
        pytest.param("    prompt:drifting", "needs a blank after the colon", id="no blank after the colon"),
        pytest.param("    prompt:\u00a0drifting", "NO-BREAK SPACE", id="no-break space after the colon"),
        pytest.param("    prompt:\tdrifting", "a tab after the colon", id="tab after the colon"),
        pytest.param("\u00a0\u00a0  prompt: drifting", "indent with spaces", id="no-break spaces"),
        pytest.param("\tprompt: drifting", "indented with a tab", id="tab"),
        pytest.param("    prompt: “Scene 1: dawn”", "use straight quotes", id="typographic quotes"),
        pytest.param("    prompt: Scene 1: dawn", "in quotes", id="colon in the text"),
        pytest.param("    prompt: @Image1 turns", "in quotes", id="at sign"),
        pytest.param("    prompt: '90s car", "in quotes", id="apostrophe at the beginning"),
        pytest.param("    prompt: [wide] dawn", "in quotes", id="bracket at the beginning"),
        pytest.param("     prompt: drifting", "fields of a shot equally", id="one blank too many"),
        pytest.param("    prompt: car #7\n      drifts", "begins a comment", id="number sign in two lines"),
    ],
)
def test_mistyped_line_is_named(line: str, message: str) -> None:
    """An error of punctuation has the line where it was typed, and a remedy that works."""
    error, *_ = _refusal(f"{_FIRST}{line}\n{_LAST}")

    assert error.startswith(f"board.yaml:{5 if 'duration' in line else 4}: ")
    assert message in error


@pytest.mark.parametrize(
    ("dash", "message"),
    [
        pytest.param("-", "needs a blank after the dash; write '- image: …'", id="no blank"),
        pytest.param("-\u00a0", "NO-BREAK SPACE", id="no-break space"),
        pytest.param("– ", "EN DASH", id="en dash"),
        pytest.param("— ", "EM DASH", id="em dash"),
        pytest.param("\uff0d ", "FULLWIDTH HYPHEN-MINUS", id="full-width dash"),
        pytest.param("• ", "BULLET", id="bullet"),
    ],
)
def test_wrong_dash_is_named(dash: str, message: str) -> None:
    """Each line that begins with something like a dash is reported."""
    shots = "".join(f"  {dash}image: https://example.com/{name}.png\n" for name in "ab")

    errors = _refusal(f"title: T\nshots:\n{shots}")

    assert [error.split(": ")[0] for error in errors[:2]] == ["board.yaml:3", "board.yaml:4"]
    assert message in errors[0]


def test_full_width_comma_is_named() -> None:
    """In braces, a full-width comma does not end a value."""
    (error,) = _refusal("title: T\nshots:\n  - {image: a.png\uff0c prompt: drifting}\n")

    assert error.startswith("board.yaml:3: has '\uff0c' (FULLWIDTH COMMA)")


def test_text_may_resemble_fields() -> None:
    """A block of text and quotes may contain anything."""
    block = "    prompt: |\n      prompt\uff1aslow\n      -image: car #7\n"
    sentence = "    prompt: waves with\n      sound; title = dawn\n"

    (first,) = parse_storyboard(Document.parse(f"{_FIRST}{block}{_LAST}".encode(), name="board.yaml")).clips
    (second,) = parse_storyboard(
        Document.parse(f"{_FIRST}{sentence}{_LAST}".encode(), name="board.yaml")
    ).clips

    assert first.prompt == "prompt\uff1aslow\n-image: car #7"
    assert second.prompt == "waves with sound; title = dawn"


@pytest.mark.parametrize(
    "text", [" " * 900_000, "- " * 400_000, ": " * 400_000], ids=["spaces", "dashes", "colons"]
)
def test_long_line_is_refused(text: str) -> None:
    """A line made to exhaust time is searched once."""
    with pytest.raises(StoryboardError):
        Document.parse(text.encode(), name="board.yaml")
