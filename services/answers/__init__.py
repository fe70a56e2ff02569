"""Answers from the archive's reports, each statement with a citation; or that the archive does not answer."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidelake.services.answers.answer import NOTICE, Answer, Citation
    from slidelake.services.answers.ask import ask_pieces
    from slidelake.services.answers.endpoint import Endpoint
    from slidelake.services.answers.image_use import ImageUse, probe_image_use
    from slidelake.services.answers.openai_form import Completion, tokens_in
    from slidelake.services.answers.passage import Passage
    from slidelake.services.answers.picture import from_data_url
    from slidelake.services.answers.place import Place, place_of

__all__ = [
    "NOTICE",
    "Answer",
    "Citation",
    "Completion",
    "Endpoint",
    "ImageUse",
    "Passage",
    "Place",
    "ask_pieces",
    "from_data_url",
    "place_of",
    "probe_image_use",
    "tokens_in",
]

_HOME = {
    "NOTICE": "answer",
    "Answer": "answer",
    "Citation": "answer",
    "Completion": "openai_form",
    "Endpoint": "endpoint",
    "ImageUse": "image_use",
    "Passage": "passage",
    "Place": "place",
    "ask_pieces": "ask",
    "from_data_url": "picture",
    "place_of": "place",
    "probe_image_use": "image_use",
    "tokens_in": "openai_form",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.services.answers.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
