import os
from pathlib import Path

import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import MAX_DOCUMENT_BYTES, Document, Issue, format_loc, raise_issues
from prefect_seedance.storyboard.yaml_lines import Loc

_BOARD = b"title: Lighthouse\nshots:\n  - image: dawn.png\n    prompt: waves\n"


def test_load_remembers_name_and_folder(tmp_path: Path) -> None:
    """File names are relative to the document's folder, not to the working directory."""
    file = tmp_path / "board.yaml"
    file.write_bytes(_BOARD)

    document = Document.load(file)

    assert document.value == {"title": "Lighthouse", "shots": [{"image": "dawn.png", "prompt": "waves"}]}
    assert (document.name, document.folder) == ("board.yaml", tmp_path)


@pytest.mark.parametrize(
    ("loc", "position"),
    [
        pytest.param(("shots", 0, "prompt"), "board.yaml:4", id="field"),
        pytest.param(("shots", 0, "image"), "board.yaml:3", id="first field of an entry"),
        pytest.param(("shots", 0, "take"), "board.yaml:3", id="absent field: its shot"),
        pytest.param(("shots", 7, "take"), "board.yaml:2", id="absent shot: the list"),
        pytest.param(("defaults",), "board.yaml:1", id="absent at the top: the file"),
    ],
)
def test_position_of_absent_value(loc: Loc, position: str) -> None:
    """An absent value has the line of the nearest value that encloses it."""
    assert Document.parse(_BOARD, name="board.yaml").position(loc) == position


def test_inline_has_no_lines() -> None:
    """Issues in data without a file name the field only."""
    document = Document.inline({"shots": []})

    assert str(document.issue(("shots", 2, "prompt"), "is short")) == "storyboard: shot 3, prompt: is short"


def test_byte_order_mark_is_skipped() -> None:
    """Editors on Windows begin UTF-8 files with one."""
    assert Document.parse(b"\xef\xbb\xbftitle: x", name="board.yaml").value == {"title": "x"}


def test_duplicate_fields_become_issues() -> None:
    """Duplicates do not stop the parser; they are reported with all other issues."""
    document = Document.parse(b"title: a\ntitle: b\n", name="board.yaml")

    assert [str(issue) for issue in document.issues] == [
        "board.yaml:2: title: appears again, after line 1; keep one of the two"
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "board.yaml: is empty", id="empty"),
        pytest.param("title: été".encode("latin-1"), "board.yaml:1: is not UTF-8 (byte 0xE9)", id="Latin-1"),
        pytest.param(b"a: 1\nb: \xff\n", "board.yaml:2: is not UTF-8", id="line of a wrong byte"),
        pytest.param("title: x".encode("utf-16"), "board.yaml:1: is not UTF-8", id="UTF-16"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", "board.yaml: is a PNG image, not a storyboard", id="image"),
        pytest.param(b"#" * (MAX_DOCUMENT_BYTES + 1), "board.yaml: is larger than 1000 kB", id="too large"),
        pytest.param(b"a: [1\n", "board.yaml:2: is neither YAML nor JSON", id="syntax"),
        pytest.param(b"a: &x [1]\nb: *x\n", "board.yaml:2: the alias *x", id="alias"),
    ],
)
def test_parse_errors_have_a_position(data: bytes, message: str) -> None:
    """Syntax errors name the file and the line."""
    with pytest.raises(StoryboardError) as raised:
        Document.parse(data, name="board.yaml")

    assert str(raised.value).startswith(message)


def test_load_refuses_irregular_files(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe, which would block, get different messages."""
    os.mkfifo(tmp_path / "pipe")

    for name, message in (
        ("absent.yaml", "No such file"),
        ("", "is a folder"),
        ("pipe", "is not a regular file"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(StoryboardError, match=message):
            Document.load(tmp_path / name)


def test_load_bounds_the_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused without being read to its end."""
    file = tmp_path / "board.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(10**12)

    with pytest.raises(StoryboardError, match="is larger than"):
        Document.load(file)


@pytest.mark.parametrize(
    ("name", "allow_outside", "found"),
    [
        pytest.param("dawn.png", False, "board/dawn.png", id="beside the file"),
        pytest.param("images/../dawn.png", False, "board/dawn.png", id="dots that stay inside"),
        pytest.param("{tmp}/board/dawn.png", False, "board/dawn.png", id="absolute inside"),
        pytest.param("{tmp}/noon.png", True, "noon.png", id="absolute outside, allowed"),
        pytest.param("link/noon.png", False, None, id="symlink outside"),
        pytest.param("link/noon.png", True, None, id="symlink outside, though absolute paths are allowed"),
        pytest.param("../noon.png", False, None, id="dots that leave"),
        pytest.param("../noon.png", True, None, id="dots that leave, though absolute paths are allowed"),
        pytest.param("{tmp}/noon.png", False, None, id="absolute outside"),
        pytest.param("{tmp}/board2/dawn.png", False, None, id="folder of a longer name"),
        pytest.param("a\0b", False, None, id="not a path"),
    ],
)
def test_locate_stays_inside(
    tmp_path: Path,
    name: str,
    allow_outside: bool,  # noqa: FBT001 -- a column
    found: str | None,
) -> None:
    """Only an absolute path leads out of the folder, and only if that is permitted."""
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    document = Document.inline({}, folder=folder)
    named = name.format(tmp=tmp_path)

    if found is not None:
        assert document.locate(named, allow_outside=allow_outside) == tmp_path.resolve() / found
    else:
        with pytest.raises(StoryboardError):
            document.locate(named, allow_outside=allow_outside)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        pytest.param("dawn.png", "https://example.com/boards/dawn.png", id="beside the file"),
        pytest.param("images/dawn 1.png", "https://example.com/boards/images/dawn%201.png", id="space"),
        pytest.param("a#b?c.png", "https://example.com/boards/a%23b%3Fc.png", id="delimiters of a URL"),
        pytest.param("/etc/passwd", "https://example.com/etc/passwd", id="absolute path"),
        pytest.param("https://other.example/x.png", "https://other.example/x.png", id="URL"),
    ],
)
def test_remote_document_names_urls_only(name: str, url: str) -> None:
    """A document from a URL cannot name local files."""
    document = Document.parse(b"{}", name="board.yaml", base_url="https://example.com/boards/board.yaml")

    assert document.locate(name, allow_outside=True) == url


def test_relative_name_needs_a_folder() -> None:
    """Without a folder, a relative name would depend on the worker's working directory."""
    with pytest.raises(StoryboardError, match="is not in a folder"):
        Document.inline({}).locate("dawn.png", allow_outside=True)


def test_each_issue_has_a_line() -> None:
    """One error contains all issues, one per line."""
    issues = [Issue("b.yaml:1", ("a",), "is wrong"), Issue("b.yaml", (), "is worse")]

    with pytest.raises(StoryboardError) as raised:
        raise_issues(issues)

    assert str(raised.value).splitlines() == ["b.yaml:1: a: is wrong", "b.yaml: is worse"]


def test_issue_is_printable() -> None:
    """Control characters of a file name or a field neither break the line nor control the terminal."""
    issue = Issue("b\n.yaml", ("a\x1b",), "is \x1b[31m wrong\r\udcff → so")

    assert str(issue) == r"b\n.yaml: 'a\x1b': is \x1b[31m wrong\r\udcff → so"


def test_format_loc_quotes_odd_names() -> None:
    """Names with spaces or control characters are quoted."""
    assert format_loc(("shots", 1, "aspect_ratio")) == "shot 2, aspect_ratio"
    assert format_loc(("a b", "c\nd")) == r"'a b', 'c\nd'"
