"""What people touch: the facade, the command line, the gallery, the demo, the doctor."""

from typing import TYPE_CHECKING, Any

__all__ = ["Lake", "SearchResult", "examine", "open", "run_demo"]

if TYPE_CHECKING:
    from slidelake.services.demo import run_demo
    from slidelake.services.doctor import examine
    from slidelake.services.lake import Lake, open
    from slidelake.services.search_result import SearchResult

_HOME = {
    "Lake": "slidelake.services.lake",
    "SearchResult": "slidelake.services.search_result",
    "examine": "slidelake.services.doctor",
    "open": "slidelake.services.lake",
    "run_demo": "slidelake.services.demo",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
