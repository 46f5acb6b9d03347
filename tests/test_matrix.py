"""The matrix's lists of dependencies."""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tests.pythons import ROOT, resolve


def test_oldest_leg_installs_lower_bounds() -> None:
    """Each dependency has the lowest release that pyproject.toml admits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = resolve("lowest-direct", python=Path(sys.executable)).splitlines()
    resolved = {name: Version(version) for name, version in (pin.split("==") for pin in pins)}
    requirements = map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["aws"]])
    bounds = {each.name: _lower_bound(each) for each in requirements}
    assert {name: resolved[name] for name in bounds} == bounds


def _lower_bound(requirement: Requirement) -> Version:
    (bound,) = (each.version for each in requirement.specifier if each.operator == ">=")
    return Version(bound)
