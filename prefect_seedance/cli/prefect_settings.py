"""Find out whether a Prefect server is configured, without loading Prefect."""

import os
import tomllib
from pathlib import Path
from typing import Any, Final

_VARIABLE: Final = "PREFECT_API_URL"


def configures_server() -> bool:
    """Return whether the environment, this folder or Prefect's active profile names a server.

    Prefect itself decides in the end which of them applies.
    Source: https://docs.prefect.io/v3/concepts/settings-and-profiles, read 2026-11.
    """
    if _VARIABLE in os.environ:
        return bool(os.environ[_VARIABLE])
    return any(
        (
            _in_dotenv(Path(".env")),
            _in_tables(_toml(Path("prefect.toml"))),
            _in_tables(_toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})),
            _in_profile(),
        )
    )


def _in_dotenv(path: Path) -> bool:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return any(_assigns(line) for line in lines)


def _assigns(line: str) -> bool:
    name, _, value = line.strip().removeprefix("export ").partition("=")
    return name.strip() == _VARIABLE and bool(value.strip(" '\""))


def _in_tables(settings: Any) -> bool:  # noqa: ANN401 -- foreign TOML
    api = settings.get("api") if isinstance(settings, dict) else None
    return bool(api.get("url")) if isinstance(api, dict) else False


def _in_profile() -> bool:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = _toml(Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser())
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    profile = profiles.get("profiles", {}).get(active, {}) if active else {}
    return bool(profile.get(_VARIABLE)) or _in_tables(profile)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Prefect reports the error
        return {}
