"""The documentation: its links, examples and commands."""

import ast
import builtins
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App
from PIL import Image

from prefect_seedance.cli import app
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import parse_storyboard

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "deployments/README.md",
    ROOT / "benchmarks/README.md",
]
OTHER_OPTIONS = {
    "--first-look",  # renamed: in the changelog
    "--look-every",  # likewise
    "--min-seam",  # likewise
    "--params",  # of Prefect's command
    "--workers",  # of a benchmark
}


def blocks(language: str) -> list[object]:
    return [
        pytest.param(match[1], id=f"{page.stem} {number}")
        for page in PAGES
        for number, match in enumerate(
            re.finditer(
                rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
            )
        )
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the images that the pages name."""
    (tmp_path / "images").mkdir()
    for name in ("dawn.png", "noon.jpg", "dusk.webp"):
        Image.new("RGB", (64, 36), "orange").save(tmp_path / "images" / name)
    return tmp_path


@pytest.mark.parametrize("text", blocks("yaml"))
def test_storyboards_are_valid(text: str, folder: Path) -> None:
    """Every storyboard in the documentation can be parsed."""
    document = Document.parse(text.encode(), name="page", folder=folder)

    assert parse_storyboard(document).clips


@pytest.mark.parametrize("text", blocks("python"))
def test_python_is_valid(text: str) -> None:
    """Every example in Python imports existing names, and all names that it uses."""
    tree = ast.parse(text)

    known = {*dir(builtins), *imported(tree), *defined(tree)}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    assert used - known == set()


def imported(tree: ast.AST) -> Iterator[str]:
    """Import what an example imports, and return its names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
                yield alias.asname or alias.name


def defined(tree: ast.AST) -> Iterator[str]:
    """Return the names that an example assigns, defines or takes as arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg


def commands() -> Iterator[object]:
    """Return each command line of this package in a block of a page, or in its prose."""
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.findall(r"(?:^|`)(prefect-seedance [^`\n#]*)", lines, re.MULTILINE)
        for number, line in enumerate(found):
            yield pytest.param(line, id=f"{page.stem} {number}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_exist(line: str) -> None:
    """Every command that a page shows exists, and has the options that the page shows."""
    name, *words = shlex.split(line.replace("…", "X"))[1:] or [""]
    options = {word.partition("=")[0] for word in words if word.startswith("--")}

    command = app[name]

    assert options - options_of(command) == set()


def options_of(command: App) -> set[str]:
    return {name for argument in command.assemble_argument_collection() for name in argument.names}


def test_options_exist() -> None:
    """Every option in the prose of the documentation exists in a command."""
    names = [name for name in app if not name.startswith("-")]
    known = {option for name in names for option in options_of(app[name])}

    shown = {
        (page.name, option)
        for page in PAGES
        for option in re.findall(r"`(--[a-z][a-z-]*)", page.read_text(encoding="utf-8"))
    }

    assert {each for each in shown if each[1] not in {*known, *OTHER_OPTIONS}} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names an existing file, and a heading in it if it has a fragment."""
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not is_target(page, *link)] == []


def is_target(page: Path, path: str, fragment: str) -> bool:
    target = page.parent / path if path else page
    return target.exists() and (not fragment or fragment in headings(target))


def headings(page: Path) -> set[str]:
    """Return the fragments of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_old_option_names_are_history() -> None:
    """Only the changelog has names of options that were renamed."""
    old = re.compile(r"--(first-look|look-every|min-seam)\b|\bmin_seam\b")
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]

    assert [page.name for page in pages if old.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_page_is_short(page: str) -> None:
    """The README and the overview of the structure can be read in one sitting."""
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("example", ["lighthouse/storyboard.yaml", "product/clips.yaml"])
def test_examples_are_valid(example: str) -> None:
    """Every example can be parsed with its images."""
    assert parse_storyboard(Document.load(ROOT / "examples" / example)).clips
