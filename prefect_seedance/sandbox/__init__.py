"""A local stand-in for the Seedance API with strict validation, complete books and scripted faults."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_seedance.sandbox.app import create_app
    from prefect_seedance.sandbox.options import Settings
    from prefect_seedance.sandbox.server import serve

__all__ = ["Settings", "create_app", "serve"]

_MODULES = {"Settings": "options", "create_app": "app", "serve": "server"}


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that importing the package is cheap."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
