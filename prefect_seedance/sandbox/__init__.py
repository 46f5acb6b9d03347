"""A local stand-in for the Seedance API: strict, honest in its books, and able to misbehave."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_seedance.sandbox.app import create_app
    from prefect_seedance.sandbox.options import Settings
    from prefect_seedance.sandbox.server import serve

__all__ = ["Settings", "create_app", "serve"]

_HOMES = {"Settings": "options", "create_app": "app", "serve": "server"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that the package itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
