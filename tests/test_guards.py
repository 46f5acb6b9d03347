"""Requests leave the process through few doors, each with its guard."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prefect_seedance"

DOORS = {
    "api/client.py": "the API, which is configured and not read from anywhere; it gets the key",
    "api/connections.py": "the API, for paid requests, as its client directs",
    "api/guarded.py": "every URL from outside",
    "cli/prefect_server.py": "the temporary Prefect server that the command itself has started",
}
"""Modules that may create a client, each with the servers it connects to."""

CREATORS = {
    "AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "get", "head", "post", "put", "request",
    "stream",
}  # fmt: skip
LIBRARIES = {"aiohttp", "requests", "urllib3", "http.client", "httpcore", "websockets"}

SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "sandbox" not in path.parts]


def annotated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the annotations of a node, which create nothing."""
    for name in ("annotation", "returns"):
        if isinstance(annotation := getattr(node, name, None), ast.AST):
            yield annotation


def doors(source: str) -> Iterator[str]:
    """Yield everything in a module that opens a connection, or imports a library for it."""
    tree = ast.parse(source)
    annotations = {id(node) for each in ast.walk(tree) for root in annotated(each) for node in ast.walk(root)}
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if (node.value.id == "httpx" and node.attr in CREATORS) or name == "socket.create_connection":
                yield name
        if isinstance(node, ast.Name) and node.id in {"urlopen", "urlretrieve", "open_connection"}:
            yield node.id
        if isinstance(node, ast.Attribute) and node.attr in {"urlopen", "urlretrieve", "open_connection"}:
            yield node.attr
        if isinstance(node, ast.ImportFrom) and (node.module == "httpx" or node.module in LIBRARIES):
            yield f"from {node.module}"
        if isinstance(node, ast.Import):
            yield from (f"import {each.name}" for each in node.names if each.name in LIBRARIES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_doors_connect(path: Path) -> None:
    """A module outside the list creates no client, and the modules in it still do."""
    found = list(doors(path.read_text(encoding="utf-8")))

    assert bool(found) == (path.relative_to(PACKAGE).as_posix() in DOORS), found


@pytest.mark.parametrize(
    "source",
    [
        "import httpx\nasync def f(url):\n    async with httpx.AsyncClient() as http: ...",
        "import httpx\nhttpx.get('https://example.com')",
        "from httpx import AsyncClient",
        "import requests",
        "import urllib.request\nurllib.request.urlopen('https://example.com')",
        "from urllib.request import urlopen\nurlopen('https://example.com')",
        "import asyncio\nasyncio.open_connection('example.com', 80)",
    ],
)
def test_scan_finds_doors(source: str) -> None:
    """The scan finds each way to open a connection."""
    assert list(doors(source))
