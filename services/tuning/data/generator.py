"""Who writes what rules do not: an endpoint, or responses that were recorded from one; and what is wrong with a reply.

With `none` a pipeline makes its rows by rules alone; there is no generator then. Whatever an endpoint says is checked
before it becomes a row: `reply_problem` names what is wrong, and the row is dropped and counted under that name.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

from slidelake.errors import EndpointError, UsageError
from slidelake.services.tuning.data.duplicates import plain_words
from slidelake.services.tuning.data.files import json_line, refusals

if TYPE_CHECKING:
    from slidelake.services.answers import Endpoint

__all__ = [
    "EndpointGenerator",
    "Generator",
    "Kind",
    "Prompt",
    "Recorded",
    "Reply",
    "generator_kind",
    "open_generator",
    "reply_json",
    "reply_problem",
]

Kind = Literal["none", "endpoint", "recorded"]

#: So many prompts in a row without a completion: the endpoint is gone, and the run stops rather than lose its rows.
_GIVE_UP = 5
#: A run of so many words of the system's prompt in a reply is a leak: shorter ones are common in answers.
_LEAK = 8
_REFUSES = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)|as an? (?:ai|language model)"
    r"|i (?:apologi[sz]e|must decline))\b",
    re.IGNORECASE,
)
_MARKS = re.compile(
    r"<\|[^|<>]{1,40}\|>|\[/?INST\]|<</?SYS>>|^\s*(?:system|user|assistant)\s*:", re.IGNORECASE | re.M
)
_FENCE = re.compile(r"\A\s*```[a-z]*\s*\n?(.*?)\n?```\s*\Z", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Prompt:
    """What a generator is asked. `version` names the template it is made by, and goes into each row's `made_by`.

    `pictures` are what an endpoint that sees is shown: data URIs of JPEGs.
    """

    system: str
    user: str
    version: str
    pictures: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """32 hexadecimal digits: what recorded responses are kept under."""
        told = json.dumps([self.version, self.system, self.user, *self.pictures], ensure_ascii=False)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def messages(self) -> list[dict[str, Any]]:
        """In OpenAI's form."""
        content: Any = self.user
        if self.pictures:
            shown = [{"type": "image_url", "image_url": {"url": each}} for each in self.pictures]
            content = [{"type": "text", "text": self.user}, *shown]
        return [{"role": "system", "content": self.system}, {"role": "user", "content": content}]


@dataclass(frozen=True)
class Reply:
    """What came back; `problem` is why nothing did ("endpoint"), empty where something did."""

    text: str
    problem: str = ""


class Generator(Protocol):
    """Writes replies; may be called from several threads."""

    @property
    def name(self) -> str:
        """What a row's `made_by` says: the model's name."""
        ...

    def write(self, prompt: Prompt) -> Reply:
        """The reply to one prompt. Raises EndpointError where no more replies are to be had."""
        ...


@dataclass
class EndpointGenerator:
    """An OpenAI-compatible endpoint. One failure drops one row; several in a row end the run, which can go on later."""

    endpoint: Endpoint
    _failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return self.endpoint.model

    def write(self, prompt: Prompt) -> Reply:
        try:
            text = "".join(piece.text for piece in self.endpoint.write(prompt.messages()))
        except EndpointError as error:
            with self._lock:
                self._failed += 1
                if self._failed >= _GIVE_UP:
                    raise EndpointError(
                        f"{self._failed} prompts in a row failed; the last: {error.problem}",
                        remedy=f"{error.remedy} Then run the same command again: it goes on where it stopped.",
                    ) from error
            return Reply("", "endpoint")
        with self._lock:
            self._failed = 0
        return Reply(text)


class Recorded:
    """Responses kept in a JSONL file by the digest of their prompt; what is not there is asked of `behind`, and kept.

    So a run that is killed does not pay twice for a reply, and a run can be repeated without an endpoint. Raises
    UsageError for a file that is damaged elsewhere than in its last line, and for a prompt that is not recorded where
    nobody is behind.
    """

    def __init__(self, path: Path, behind: Generator | None = None) -> None:
        self.path = path
        self._behind = behind
        self._lock = threading.Lock()
        self._replies: dict[str, str] = {}
        self._models: set[str] = set()
        if behind is None and not path.exists():
            raise UsageError(
                f"there are no recorded responses {path}",
                remedy="Make them with --generator endpoint --record FILE.",
            )
        self._read()

    @property
    def name(self) -> str:
        return (
            self._behind.name if self._behind is not None else ", ".join(sorted(self._models)) or "recorded"
        )

    def write(self, prompt: Prompt) -> Reply:
        with self._lock:
            kept = self._replies.get(prompt.digest)
        if kept is not None:
            return Reply(kept)
        if self._behind is None:
            raise UsageError(
                f"{self.path} has no response to the prompt {prompt.digest} ({prompt.version})",
                remedy="Record it with --generator endpoint --record FILE; the reports or prompts have changed.",
            )
        reply = self._behind.write(prompt)
        if not reply.problem:
            line = {
                "digest": prompt.digest,
                "model": self._behind.name,
                "prompt": prompt.version,
                "text": reply.text,
            }
            with self._lock, refusals(self.path), self.path.open("a", encoding="utf-8", newline="\n") as out:
                self._replies[prompt.digest] = reply.text
                out.write(json_line(line))
        return reply

    def _read(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                body = json.loads(line)
                digest, text, model = (
                    str(body["digest"]),
                    str(body["text"]),
                    str(body.get("model", "recorded")),
                )
            except (ValueError, KeyError, TypeError) as exc:
                raise UsageError(
                    f"line {number} of {self.path} is no recorded response ({type(exc).__name__}: {exc})",
                    remedy="Remove that line, or give a file that --record wrote.",
                ) from exc
            if (
                self._behind is None or model == self._behind.name
            ):  # another model's replies are not this one's
                self._replies[digest] = text
                self._models.add(model)
        if whole < len(data) and self._behind is not None:
            # The line that a killed process was writing.
            with refusals(self.path), self.path.open("rb+") as out:
                out.truncate(whole)


def generator_kind(name: str) -> Kind:
    """The kind of that name; raises UsageError for any other."""
    for kind in get_args(Kind):
        if name == kind:
            return cast(Kind, kind)
    raise UsageError(f"there is no generator {name!r}", remedy=f"Name one of {', '.join(get_args(Kind))}.")


def open_generator(
    kind: Kind,
    *,
    endpoint: Endpoint | None = None,
    recorded: Path | None = None,
    record: Path | None = None,
) -> Generator | None:
    """The generator of a kind; None for `none`. Raises UsageError where what the kind needs is not given."""
    if kind == "none":
        if recorded is not None or record is not None:
            raise UsageError(
                "responses are recorded from an endpoint, and none is asked",
                remedy="Pass --generator endpoint or recorded with it.",
            )
        return None
    if kind == "recorded":
        if recorded is None:
            raise UsageError("no recorded responses were named", remedy="Pass --recorded FILE.")
        return Recorded(recorded)
    if endpoint is None:
        raise UsageError("no endpoint was named", remedy="Pass --endpoint URL and --model NAME.")
    asked = EndpointGenerator(endpoint)
    return asked if record is None else Recorded(record, asked)


def reply_problem(prompt: Prompt, text: str) -> str:
    """What is wrong with a reply whatever was asked: empty, refused, leaked, repeated; "" where nothing is."""
    words = plain_words(text)
    if not words:
        return "empty"
    if _REFUSES.search(text):
        return "refused"
    if _MARKS.search(text) or _runs(words, _LEAK) & _runs(plain_words(prompt.system), _LEAK):
        return "leaked"
    return "repeated" if _loops(words) else ""


def reply_json(prompt: Prompt, text: str) -> tuple[dict[str, Any], str]:
    """The JSON object of a reply that was asked for one, fenced or not, and what is wrong with it ("malformed", …)."""
    problem = reply_problem(prompt, text)
    if problem:
        return {}, problem
    fenced = _FENCE.match(text)
    try:
        body = json.loads(fenced[1] if fenced else text)
    except ValueError:
        return {}, "malformed"
    return (body, "") if isinstance(body, dict) else ({}, "malformed")


def _runs(words: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


def _loops(words: list[str]) -> bool:
    """Whether a text says the same thing again and again: a run of four words thrice, or a word six times on end."""
    counts = Counter(tuple(words[at : at + 4]) for at in range(len(words) - 3))
    if counts and max(counts.values()) >= 3:
        return True
    return any(len(set(words[at : at + 6])) == 1 for at in range(len(words) - 5))
