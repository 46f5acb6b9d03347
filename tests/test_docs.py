import ast
import re
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import parse_storyboard

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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
    """Every Python block in the documentation is valid, and its imports exist."""
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]

    for node in imports:
        module = __import__(node.module or "", fromlist=["*"])
        assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names an existing file."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_is_short() -> None:
    """The README has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("example", ["lighthouse/storyboard.yaml", "product/clips.yaml"])
def test_examples_are_valid(example: str) -> None:
    """Every example can be parsed with its images."""
    assert parse_storyboard(Document.load(ROOT / "examples" / example)).clips
