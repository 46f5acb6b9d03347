"""Each kind of foreign thing has one reader, and nothing reads around it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "prefect_seedance"

DOORS = {
    "Image.open": {"storyboard/image_reader.py": 1},
    "av.open": {
        "video/probe.py": 1,  # the reader
        "video/concat.py": 1,  # the others write
        "video/transcode.py": 1,
    },
}
"""Calls that hand bytes to a library, with the modules that may make them, and how often."""


def calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def modules() -> Iterator[tuple[str, Path]]:
    """Yield all modules but the sandbox's, which opens its own files."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("sandbox/"):
            yield name, path


@pytest.mark.parametrize("function", DOORS)
def test_only_readers_open(function: str) -> None:
    """A library's function that opens a file is called in the guarded reader only."""
    found: dict[str, int] = {}
    for name, path in modules():
        count = sum(ast.unparse(call.func) == function for call in calls(path))
        if count:
            found[name] = count

    assert found == DOORS[function]


def test_writers_only_write() -> None:
    """Apart from the reader of videos, FFmpeg opens files to write them."""
    for name, path in modules():
        for call in calls(path):
            if ast.unparse(call.func) == "av.open" and name != "video/probe.py":
                assert ast.unparse(call.args[1]) == "'w'"


def test_no_door_is_renamed() -> None:
    """No module imports `open` from these libraries, which the check above would not see."""
    for _, path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {(node.module, alias.name) for node in imports for alias in node.names}

        assert not names & {("av", "open"), ("PIL.Image", "open"), ("av.container", "open")}


def test_formats_are_listed() -> None:
    """Pillow opens nothing without a list of formats."""
    (call,) = [each for each in calls(PACKAGE / "storyboard/image_reader.py") if _opens(each)]

    assert any(keyword.arg == "formats" for keyword in call.keywords)


def _opens(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "Image.open"
