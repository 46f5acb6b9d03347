import pytest

from prefect_seedance.storyboard.yaml_lines import Loc, UnreadableError, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("16:9", "16:9", id="ratio, not sexagesimal"),
        pytest.param("2026-11-22", "2026-11-22", id="date"),
        pytest.param("12:30:45", "12:30:45", id="time"),
        pytest.param("no", "no", id="no, not false"),
        pytest.param("on", "on", id="on, not true"),
        pytest.param("007", "007", id="leading zeros"),
        pytest.param("0x10", "0x10", id="hexadecimal"),
        pytest.param("1_000", "1_000", id="underscores"),
        pytest.param("9" * 5000, "9" * 5000, id="more digits than Python reads"),
        pytest.param("<<", "<<", id="merge key"),
        pytest.param("'8'", "8", id="quoted number"),
        pytest.param("'true'", "true", id="quoted truth value"),
        pytest.param("|\n  two\n  lines\n", "two\nlines\n", id="block"),
        pytest.param("|\n  a\tb\n", "a\tb\n", id="tab in a block"),
        pytest.param("8", 8, id="whole number"),
        pytest.param("-3", -3, id="negative number"),
        pytest.param("2.5", 2.5, id="fraction"),
        pytest.param("1e3", 1000.0, id="exponent"),
        pytest.param("true", True, id="true"),
        pytest.param("False", False, id="capital false"),
        pytest.param("null", None, id="null"),
        pytest.param("", None, id="nothing"),
        pytest.param(r'"\ud83d\ude00"', "\N{GRINNING FACE}", id="emoji as JSON escapes it"),
    ],
)
def test_scalars_stay_as_typed(text: str, value: object) -> None:
    """Only JSON's types are parsed; everything else is the text as typed."""
    assert repr(parse_yaml(f"field: {text}").value) == repr({"field": value})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 1\nb:\n  - c: x\n    d: y\n  - z\n", id="block YAML"),
        pytest.param('{"a": 1,\n"b": [\n{"c": "x",\n"d": "y"},\n"z"]}', id="JSON"),
        pytest.param('{\t"a":1,\n\t"b":[\n\t\t{"c":"x",\n\t\t"d":"y"},\n\t\t"z"]\n}', id="JSON with tabs"),
    ],
)
def test_every_value_has_its_line(text: str) -> None:
    """YAML and JSON of the same shape give the same data, with lines counted from 1."""
    parsed = parse_yaml(text)

    assert parsed.value == {"a": 1, "b": [{"c": "x", "d": "y"}, "z"]}
    assert parsed.lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 0, "c"): 3,
        ("b", 0, "d"): 4,
        ("b", 1): 5,
    }


def test_duplicate_key_keeps_the_first() -> None:
    """A duplicate key is reported at its second occurrence, and parsing continues."""
    parsed = parse_yaml("a: 1\nb: 2\na: 3\n")

    assert parsed.value == {"a": 1, "b": 2}
    assert parsed.lines["a",] == 1
    assert [(loc, duplicate.line) for loc, duplicate in parsed.issues.items()] == [(("a",), 3)]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("", None, "is empty", id="empty"),
        pytest.param("# only a comment\n", None, "is empty", id="comment"),
        pytest.param("a: 1\nb: &x [y]\nc: *x\n", 3, "alias *x", id="alias"),
        pytest.param("a: 1\nb: &beat drop\n", 2, "anchor &beat", id="text that begins with &"),
        pytest.param("a: 1\n*x : 2\n", 2, "a field name", id="alias as key"),
        pytest.param("a: 1\nb: !!python/object/apply:os.getcwd []\n", 2, "tag", id="tag that runs code"),
        pytest.param("a: !important\n", 1, "tag !important", id="text that begins with !"),
        pytest.param("a: 1\n? [b]\n: 2\n", 2, "a field name", id="list as key"),
        pytest.param("a: 1\n---\nb: 2\n", 2, "second document", id="two documents"),
        pytest.param("a: 1\nb: the keeper: he waits\n", 2, "put text in quotes", id="colon in text"),
        pytest.param("a: 1\n\tb: 2\n", 2, "equally, with spaces", id="tab in YAML"),
        pytest.param('{"a": 1,\n"b": ', 2, "neither YAML nor JSON", id="JSON cut short"),
        pytest.param("a: 1\nb: x\x07\n", 2, "U+0007", id="control character"),
        pytest.param("a: 1\nb: x\u2028y\n", 2, "line separator U+2028", id="line separator"),
        pytest.param("a: 1\nb: 'x\u2029y'\n", 2, "U+2029", id="paragraph separator in quotes"),
        pytest.param("a: 1\nb: x\x85y\n", 2, "next line U+0085", id="next line"),
        pytest.param("a: 1\nb: " + "[" * 1000, 2, "deeper than 16", id="deep nesting"),
    ],
)
def test_errors_name_the_line(text: str, line: int | None, message: str) -> None:
    """Text that cannot be parsed is refused with its line and a remedy."""
    with pytest.raises(UnreadableError) as raised:
        parse_yaml(text)

    assert raised.value.issue.line == line
    assert message in raised.value.issue.message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 12)),
            id="alias bomb",
        ),
        pytest.param("[" * 900_000, id="brackets"),
        pytest.param("{" * 900_000, id="braces"),
        pytest.param("? " * 400_000, id="question marks"),
        pytest.param("- " * 400_000, id="dashes"),
    ],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    """A file made to exhaust memory, time or the stack is refused quickly."""
    with pytest.raises(UnreadableError):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "loc", "line"),
    [
        pytest.param("prompt: car #7 drifts\n", ("prompt",), 1, id="number sign"),
        pytest.param("title: x\nprompt: car # 7\n", ("prompt",), 2, id="one blank"),
        pytest.param("prompt: car  #7 drifts\n", ("prompt",), 1, id="two blanks before a word"),
        pytest.param("prompt: #7 drifts\n", ("prompt",), 1, id="at the beginning"),
        pytest.param("prompt: car\n  #7 drifts\n", ("prompt",), 1, id="in the next line"),
        pytest.param("prompt: a slow\n  car #7\n", ("prompt",), 2, id="after two lines"),
        pytest.param("title: Race #2\n", ("title",), 1, id="title"),
        pytest.param("prompt: > #1 fan\n  waves\n", ("prompt",), 1, id="behind the head of a block"),
        pytest.param("clips:\n- name: cut #2\n", ("clips", 0, "name"), 2, id="name"),
        pytest.param("image: shot #3.png\n", ("image",), 1, id="image"),
        pytest.param("images:\n- a.png\n- b #3.png\n", ("images", 1), 3, id="one of the images"),
    ],
)
def test_lost_words_are_reported(text: str, loc: Loc, line: int) -> None:
    """A comment that may be the end of a sentence or a name is an issue that says to use quotes."""
    issues = parse_yaml(text).issues

    assert {loc: issue.line for loc, issue in issues.items()} == {loc: line}
    assert "put the whole text in quotes" in issues[loc].message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# all\nprompt: car\n#end\n", id="lines of their own"),
        pytest.param("prompt: car\n#duration: 4\n", id="disabled field"),
        pytest.param("prompt: car  # fast\n", id="two blanks and one"),
        pytest.param("prompt: 'car #7' # fast\n", id="after quotes"),
        pytest.param("prompt: |\n  car #7\n", id="in a block"),
        pytest.param("prompt: > # folded\n  car #7\n", id="behind the head of a block"),
        pytest.param("prompt: car#7\n", id="without a blank"),
        pytest.param("image: a.png # dawn\n", id="after an image"),
        pytest.param("duration: 4 #seconds\n", id="after a number"),
        pytest.param("aspect_ratio: 16:9 #wide\n", id="after a choice"),
        pytest.param("defaults: {duration: 4} # all\n", id="after fields in braces"),
        pytest.param('{"prompt": "car #7"}', id="JSON"),
    ],
)
def test_comments_stay_allowed(text: str) -> None:
    """A comment that is set apart, or follows a value of a closed set, loses no words."""
    assert not parse_yaml(text).issues


def test_lines_are_those_of_editors() -> None:
    """A line separator in JSON does not shift the lines after it."""
    parsed = parse_yaml('{"a": "x\u2028y",\r\n"b": 1,\r"c": 2}')

    assert [parsed.lines[name,] for name in "abc"] == [1, 2, 3]
