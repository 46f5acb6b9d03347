"""The pages of the documentation, and the code blocks in them."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "deployments/README.md",
    ROOT / "benchmarks/README.md",
]

_BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>.*?)")?\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A code block.

    Attributes:
        title: The name of the file that it is, or empty.
    """

    language: str
    title: str
    text: str


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the code blocks of a page in these languages, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    every = [Block(each["language"], each["title"] or "", textwrap.dedent(each["text"])) for each in found]
    return [block for block in every if block.language in languages]


def pages_with(language: str) -> list[Path]:
    """Return the pages that have a code block in a language."""
    return [page for page in PAGES if blocks(page, language)]


def attributes_of(name: str) -> set[str]:
    """Return the attributes of a span or a metric, as the page about telemetry lists them."""
    page = (ROOT / "docs/reference/telemetry.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{re.escape(name)}` \|.*\| ([^|]*)\|$", page, re.MULTILINE)
    names = re.findall(r"`([^`]+)`", row)
    return {"error.type", *(each if "." in each else f"seedance.{each}" for each in names)}
