"""Whether a Prefect server is configured, found out without Prefect."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from prefect.settings import Settings

from prefect_seedance.cli.prefect_settings import configures_server

URL = "http://127.0.0.1:4200/api"
PROFILES = f'active = "studio"\n[profiles.studio]\nPREFECT_API_URL = "{URL}"\n[profiles.ephemeral]\n'

SOURCES = [
    pytest.param({}, {}, False, id="nothing"),
    pytest.param({"PREFECT_API_URL": URL}, {}, True, id="variable"),
    pytest.param({}, {".env": f"PREFECT_API_URL={URL}\n"}, True, id="dotenv"),
    pytest.param({}, {".env": f"# ours\nexport PREFECT_API_URL = '{URL}'\n"}, True, id="dotenv, exported"),
    pytest.param({}, {".env": f"#PREFECT_API_URL={URL}\nPREFECT_API_KEY=x\n"}, False, id="dotenv, other"),
    pytest.param({}, {"prefect.toml": f'[api]\nurl = "{URL}"\n'}, True, id="prefect.toml"),
    pytest.param({}, {"prefect.toml": "[server]\n"}, False, id="prefect.toml, other"),
    pytest.param({}, {"pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n'}, True, id="pyproject.toml"),
    pytest.param({}, {"pyproject.toml": '[project]\nname = "film"\n'}, False, id="pyproject.toml, other"),
    pytest.param({}, {"home/profiles.toml": PROFILES}, True, id="profile"),
    pytest.param(
        {"PREFECT_PROFILE": "ephemeral"}, {"home/profiles.toml": PROFILES}, False, id="chosen profile"
    ),
    pytest.param(
        {"PREFECT_PROFILES_PATH": "{folder}/mine.toml"},
        {"mine.toml": PROFILES},
        True,
        id="profiles elsewhere",
    ),
]


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the developer's own settings."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("variables", "files", "expected"), SOURCES)
def test_agrees_with_prefect(
    variables: Mapping[str, str],
    files: Mapping[str, str],
    expected: bool,  # noqa: FBT001  # a column of the table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each place in which Prefect finds a server's URL counts, and no other."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder=tmp_path))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert configures_server() is expected
    assert bool(Settings().api.url) is expected


def test_empty_variable_overrules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable turns a configured server off, for one command."""
    (tmp_path / "prefect.toml").write_text(f'[api]\nurl = "{URL}"\n', encoding="utf-8")
    monkeypatch.setenv("PREFECT_API_URL", "")

    assert not configures_server()


@pytest.mark.parametrize("text", ["[api", "api = 1", "\xff"], ids=["broken", "other type", "no UTF-8"])
def test_damaged_file_is_ignored(text: str, tmp_path: Path) -> None:
    """A file that Prefect would reject names no server; Prefect reports it if it is used."""
    (tmp_path / "prefect.toml").write_text(text, encoding="latin-1")

    assert not configures_server()
