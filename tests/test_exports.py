"""The public names."""

import ast
from pathlib import Path

import prefect_seedance

_NAMES = """
Budget Clip ClipArchive ClipList ClipSettings ClipSpec ClipStatus Credentials Film Hosting JoinStyle Loading
Manifest Output Plan PlannedClip Progress RetryPolicy RunSettings SeedanceClient SeedanceClip SeedanceClipRun
SeedanceCredentials SeedanceError Shot Storyboard Waiting archive_clip inspect_clip join_film load_storyboard
plan produce submit_clip wait_for_clip write_report
"""


def test_public_names_are_these() -> None:
    """A name is added, renamed or removed on purpose only."""
    assert prefect_seedance.__all__ == _NAMES.split()


def test_public_names_exist() -> None:
    """Each public name can be imported."""
    assert all(getattr(prefect_seedance, name) for name in _NAMES.split())


def test_type_checkers_see_them() -> None:
    """Type checkers find each public name in the module from which it is loaded."""
    tree = ast.parse(Path(prefect_seedance.__file__).read_text(encoding="utf-8"))

    imports = {
        alias.name: (node.module or "").removeprefix("prefect_seedance.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }

    assert imports == prefect_seedance._HOMES
