"""The HTTP API: slides, tiles, search, heatmaps, reports and answers over one lake."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.services.api.app import create_app
    from slidelake.services.api.settings import ServeSettings

__all__ = ["ServeSettings", "create_app"]

_HOME = {"ServeSettings": "settings", "create_app": "app"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.services.api.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
