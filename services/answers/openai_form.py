"""An answer as a chat completion: whole, or as the events of a stream, with the same text and numbers in both."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

from slidelake.services.answers.answer import NOTICE, Answer

__all__ = ["Completion", "tokens_in"]

_MODEL = "slidelake"
_MARKER = re.compile(r"\[(\d+)\]")
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Completion:
    """One completion. `base` is the server's root as its client reached it: links have to work from elsewhere."""

    def __init__(self, question: str, *, base: str = "") -> None:
        self._question = question
        self._base = base
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": _MODEL}
        self._begun = False

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer as one completion."""
        message = {
            "role": "assistant",
            "content": answer.text + self._tail(answer),
            "refusal": None,
            "annotations": self._annotations(answer),
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage(answer),
            "slidelake": answer.to_dict(),
        }

    def piece(self, text: str) -> str:
        """A piece of the text as an event."""
        role = {} if self._begun else {"role": "assistant"}
        self._begun = True
        return self._event({"index": 0, "delta": {**role, "content": text}, "finish_reason": None})

    def end(self, answer: Answer, *, usage: bool) -> Iterator[str]:
        """The events after the answer's own text: sources, annotations, and tokens where they were asked for."""
        tail = self._tail(answer)
        if tail or not self._begun:
            yield self.piece(tail)
        annotated = {"annotations": self._annotations(answer)}
        last = {"index": 0, "delta": annotated, "finish_reason": "stop"}
        yield self._event(last, slidelake=answer.to_dict())
        if usage:
            yield self._event(None, usage=self._usage(answer))

    def _event(self, choice: dict[str, Any] | None, **more: Any) -> str:
        body = {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [choice] if choice is not None else [],
            **more,
        }
        return f"data: {json.dumps(body)}\n\n"

    def _tail(self, answer: Answer) -> str:
        """What clients that read nothing but text need: the sources, what should be known, the notice."""
        parts = [answer.sources(self._base), *(f"Note: {note}" for note in answer.notes), NOTICE]
        return "".join(f"\n\n{part}" for part in parts if part)

    def _annotations(self, answer: Answer) -> list[dict[str, Any]]:
        """A URL citation for each `[n]`; indices count characters (code points) of the content, end excluded."""
        by_number = {citation.n: citation for citation in answer.citations}
        found = []
        for match in _MARKER.finditer(answer.text):
            citation = by_number.get(int(match[1]))
            if citation is not None:
                located = {
                    "start_index": match.start(),
                    "end_index": match.end(),
                    "url": self._base + citation.link,
                    "title": citation.label,
                }
                found.append({"type": "url_citation", "url_citation": located})
        return found

    def _usage(self, answer: Answer) -> dict[str, int]:
        """The endpoint's count where it gave one; else words and signs of question, passages and text."""
        read = answer.usage.get("prompt_tokens")
        if read is None:
            read = tokens_in(self._question) + sum(tokens_in(passage.text) for passage in answer.passages)
        written = answer.usage.get("completion_tokens")
        if written is None:
            written = tokens_in(answer.text)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def tokens_in(text: str) -> int:
    """Words and signs: near enough to tokens for a count that nobody pays by."""
    return sum(1 for _ in _TOKEN.finditer(text))
