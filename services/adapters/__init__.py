"""A lake's reports as retrievers of LangChain and LlamaIndex; each needs its own extra."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.services.adapters.langchain import LakeRetriever as LangChainRetriever
    from slidelake.services.adapters.llamaindex import LakeRetriever as LlamaIndexRetriever

__all__ = ["LangChainRetriever", "LlamaIndexRetriever"]

_HOME = {"LangChainRetriever": "langchain", "LlamaIndexRetriever": "llamaindex"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from slidelake.errors import MissingDependencyError

    try:
        return import_module(f"slidelake.services.adapters.{_HOME[name]}").LakeRetriever
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("slidelake"):
            raise
        raise MissingDependencyError(
            f"{name} needs {exc.name}", remedy=f"pip install 'slidelake[{_HOME[name]}]'."
        ) from exc


def __dir__() -> list[str]:
    return sorted(__all__)
