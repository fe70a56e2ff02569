"""A lake as tools for language models: the Model Context Protocol over stdio or HTTP, read-only."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.services.mcp.server import make_server

__all__ = ["make_server"]


def __getattr__(name: str) -> Any:
    if name == "make_server":
        from slidelake.services.mcp.server import make_server

        return make_server
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
