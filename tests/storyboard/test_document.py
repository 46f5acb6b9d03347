import os
from pathlib import Path

import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import MOST_BYTES, Document, Mistake, refuse, spelled
from prefect_seedance.storyboard.yaml_lines import Loc

_BOARD = b"title: Lighthouse\nshots:\n  - image: dawn.png\n    prompt: waves\n"


def test_load_remembers_name_and_folder(tmp_path: Path) -> None:
    """A file's own folder is what its names are relative to, wherever the process runs."""
    file = tmp_path / "board.yaml"
    file.write_bytes(_BOARD)

    document = Document.load(file)

    assert document.value == {"title": "Lighthouse", "shots": [{"image": "dawn.png", "prompt": "waves"}]}
    assert (document.name, document.folder) == ("board.yaml", tmp_path)


@pytest.mark.parametrize(
    ("trail", "place"),
    [
        pytest.param(("shots", 0, "prompt"), "board.yaml:4", id="field"),
        pytest.param(("shots", 0, "image"), "board.yaml:3", id="first field of an entry"),
        pytest.param(("shots", 0, "take"), "board.yaml:3", id="absent field: its shot"),
        pytest.param(("shots", 7, "take"), "board.yaml:2", id="absent shot: the list"),
        pytest.param(("defaults",), "board.yaml:1", id="absent at the top: the file"),
    ],
)
def test_place_falls_back_to_what_is_around(trail: Loc, place: str) -> None:
    """A value that does not stand there is placed where it should stand."""
    assert Document.parse(_BOARD, name="board.yaml").place(trail) == place


def test_inline_has_no_lines() -> None:
    """Data without a file is placed by the field alone."""
    document = Document.inline({"shots": []})

    assert (
        str(document.mistake(("shots", 2, "prompt"), "is short")) == "storyboard: shots[2].prompt: is short"
    )


def test_byte_order_mark_is_skipped() -> None:
    """Editors on Windows begin UTF-8 files with one."""
    assert Document.parse(b"\xef\xbb\xbftitle: x", name="board.yaml").value == {"title": "x"}


def test_repeated_fields_become_mistakes() -> None:
    """They are told together with all others, so they do not stop the reading."""
    document = Document.parse(b"title: a\ntitle: b\n", name="board.yaml")

    assert [str(mistake) for mistake in document.mistakes] == [
        "board.yaml:2: title: stands here again, after line 1; keep one of them"
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "board.yaml: is empty", id="empty"),
        pytest.param("title: été".encode("latin-1"), "board.yaml:1: is not UTF-8 (byte 0xE9)", id="Latin-1"),
        pytest.param(b"a: 1\nb: \xff\n", "board.yaml:2: is not UTF-8", id="line of a wrong byte"),
        pytest.param("title: x".encode("utf-16"), "board.yaml:1: is not UTF-8", id="UTF-16"),
        pytest.param(b"#" * (MOST_BYTES + 1), "board.yaml: is larger than 1000 kB", id="too large"),
        pytest.param(b"a: [1\n", "board.yaml:2: is neither YAML nor JSON", id="syntax"),
        pytest.param(b"a: &x [1]\nb: *x\n", "board.yaml:2: the alias *x", id="alias"),
    ],
)
def test_parse_refuses_with_place(data: bytes, says: str) -> None:
    """What is no document says so with file and line."""
    with pytest.raises(StoryboardError) as raised:
        Document.parse(data, name="board.yaml")

    assert str(raised.value).startswith(says)


def test_load_refuses_what_is_no_file(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe, which would block, are told apart."""
    os.mkfifo(tmp_path / "pipe")

    for name, says in (
        ("absent.yaml", "No such file"),
        ("", "is a folder"),
        ("pipe", "is no regular file"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(StoryboardError, match=says):
            Document.load(tmp_path / name)


def test_load_reads_no_further_than_allowed(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused without being read."""
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
        pytest.param("a\0b", False, None, id="no path at all"),
    ],
)
def test_locate_stays_inside(tmp_path: Path, name: str, allow_outside: bool, found: str | None) -> None:  # noqa: FBT001 -- a column
    """No name leads out of the folder, except an absolute one that was asked for."""
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
        pytest.param("images/dawn 1.png", "https://example.com/boards/images/dawn%201.png", id="blank"),
        pytest.param("a#b?c.png", "https://example.com/boards/a%23b%3Fc.png", id="signs of a URL"),
        pytest.param("/etc/passwd", "https://example.com/etc/passwd", id="absolute path"),
        pytest.param("https://other.example/x.png", "https://other.example/x.png", id="URL"),
    ],
)
def test_remote_document_names_no_local_file(name: str, url: str) -> None:
    """What was fetched from elsewhere can only name URLs."""
    document = Document.parse(b"{}", name="board.yaml", base_url="https://example.com/boards/board.yaml")

    assert document.locate(name, allow_outside=True) == url


def test_relative_name_needs_a_folder() -> None:
    """Without a folder a relative name would depend on where a worker happens to run."""
    with pytest.raises(StoryboardError, match="has no folder"):
        Document.inline({}).locate("dawn.png", allow_outside=True)


def test_refuse_tells_a_mistake_a_line() -> None:
    """All mistakes stand in one message, one line each."""
    mistakes = [Mistake("b.yaml:1", ("a",), "is wrong"), Mistake("b.yaml", (), "is worse")]

    with pytest.raises(StoryboardError) as raised:
        refuse(mistakes)

    assert str(raised.value).splitlines() == ["b.yaml:1: a: is wrong", "b.yaml: is worse"]


def test_mistake_stays_in_its_line() -> None:
    """What an author or a file's name contains neither breaks the list nor steers the terminal."""
    mistake = Mistake("b\n.yaml", ("a\x1b",), "is \x1b[31m wrong\r\udcff → so")

    assert str(mistake) == r"b\n.yaml: ['a\x1b']: is \x1b[31m wrong\r\udcff → so"


def test_spelled_quotes_odd_names() -> None:
    """A name that would blur or break the line is quoted."""
    assert spelled(("shots", 1, "aspect_ratio")) == "shots[1].aspect_ratio"
    assert spelled(("a b", "c\nd")) == r"['a b']['c\nd']"
