"""Any OpenAI-compatible endpoint as the writer of answers: bounded in time, in bytes and in tries."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from slidelake.errors import EndpointError, EndpointTimeoutError, MissingDependencyError, UsageError
from slidelake.services.answers.citation_filter import plain

__all__ = ["Endpoint", "Piece"]


@dataclass(frozen=True)
class Piece:
    """A piece of what an endpoint writes; the last may carry the tokens that it counted."""

    text: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """Where answers are written: an OpenAI-compatible base URL (`http://host:port/v1`) and a model's name.

    `timeout` is seconds of silence, `deadline` seconds for the whole answer; `retries` new tries after a refused
    connection, 429 or 5xx; `max_bytes` of a response and `max_tokens` of an answer at most. `sees` sends pictures of
    patches too. The key is in no message, log or repr. Raises UsageError for what is no URL.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 30.0
    deadline: float = 120.0
    retries: int = 2
    max_tokens: int = 800
    max_bytes: int = 4 * 2**20
    sees: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"the endpoint {self.url!r} is no URL",
                remedy="Give its base, such as http://127.0.0.1:8000/v1.",
            )
        if parts.username or parts.password:
            raise UsageError(
                "the endpoint's URL holds a password", remedy="Set SLIDELAKE_LLM_KEY to its key instead."
            )
        if not self.model:
            raise UsageError(
                "the endpoint has no model", remedy="Pass --model NAME, or set SLIDELAKE_LLM_MODEL."
            )
        if not (self.timeout > 0 and self.deadline > 0 and self.retries >= 0 and self.max_tokens > 0):
            raise UsageError(
                "the endpoint's limits are not positive", remedy="Give seconds, tries and tokens above 0."
            )

    @classmethod
    def from_environment(
        cls, url: str | None = None, model: str | None = None, **options: Any
    ) -> "Endpoint | None":
        """The endpoint that was named, else that of SLIDELAKE_LLM_URL and _MODEL; None where there is none.

        The key is always from SLIDELAKE_LLM_KEY: on a command line every user of the machine could read it.
        """
        url = url or os.environ.get("SLIDELAKE_LLM_URL")
        if not url:
            if model:
                raise UsageError(
                    f"the model {model!r} has no endpoint",
                    remedy="Pass --endpoint URL, or set SLIDELAKE_LLM_URL.",
                )
            return None
        model = model or os.environ.get("SLIDELAKE_LLM_MODEL") or ""
        return cls(url=url, model=model, key=os.environ.get("SLIDELAKE_LLM_KEY", ""), **options)

    def write(self, messages: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
        """What the endpoint writes, piece by piece. Raises EndpointError, EndpointTimeoutError."""
        import openai

        ends_at = time.monotonic() + self.deadline
        try:
            with (
                self._client() as client,
                client.chat.completions.with_streaming_response.create(
                    model=self.model,
                    messages=messages,
                    max_tokens=self.max_tokens,
                    temperature=0,
                    stream=True,
                ) as response,
            ):
                kind = response.headers.get("content-type", "")
                chunks = self._bounded(response.iter_bytes(), ends_at)
                if "json" in kind:  # a server that cannot stream answers whole
                    yield from _pieces(json.loads(b"".join(chunks)))
                elif "event-stream" in kind:
                    yield from _events(chunks)
                else:
                    raise EndpointError(
                        f"the endpoint {self.url} answered {kind or 'something untyped'}, which is no completion",
                        remedy="Give the base URL of its API; it often ends in /v1.",
                    )
        except GeneratorExit:
            raise
        except EndpointError as exc:
            # What an endpoint says of a failure may hold the key that it was sent.
            raise type(exc)(self._redacted(exc.problem), remedy=exc.remedy) from None
        except openai.APITimeoutError as exc:
            raise self._late() from exc
        except openai.APIStatusError as exc:
            said = self._redacted(str(exc.message))
            raise EndpointError(
                f"the endpoint {self.url} refused with status {exc.status_code}: {said}",
                remedy="Look at its log; check the model's name and SLIDELAKE_LLM_KEY.",
            ) from exc
        except Exception as exc:
            # Below the client are two generations of HTTP libraries, with errors of their own.
            if "Timeout" in type(exc).__name__:
                raise self._late() from exc
            said = self._redacted(f"{type(exc).__name__}: {exc}")
            raise EndpointError(
                f"the endpoint {self.url} did not answer ({said})", remedy="Check that it runs, and its URL."
            ) from exc

    def _client(self) -> Any:
        try:
            from openai import OpenAI
        except ImportError as exc:
            raise MissingDependencyError(
                "an endpoint needs the openai client", remedy="Install it: pip install 'slidelake[answers]'."
            ) from exc
        return OpenAI(
            base_url=self.url, api_key=self.key or "none", timeout=self.timeout, max_retries=self.retries
        )

    def _bounded(self, chunks: Iterator[bytes], ends_at: float) -> Iterator[bytes]:
        taken = 0
        for chunk in chunks:
            taken += len(chunk)
            if taken > self.max_bytes:
                raise EndpointError(
                    f"the endpoint {self.url} sent more than {self.max_bytes:,} bytes",
                    remedy="Its answer was cut; ask for fewer tokens.",
                )
            if time.monotonic() > ends_at:
                raise EndpointTimeoutError(
                    f"the endpoint {self.url} was not done after {self.deadline:g} s",
                    remedy="Give it more time, or a faster model.",
                )
            yield chunk

    def _late(self) -> EndpointTimeoutError:
        return EndpointTimeoutError(
            f"the endpoint {self.url} was silent for {self.timeout:g} s",
            remedy="Check that it runs; give it more time if it is slow.",
        )

    def _redacted(self, text: str) -> str:
        """What the endpoint said, without the key, cut, and with nothing that acts on a terminal."""
        return plain(text.replace(self.key, "***") if self.key else text)[:400]


def _events(chunks: Iterator[bytes]) -> Iterator[Piece]:
    """The pieces of a stream of server-sent events; raises EndpointError where it ends without its end."""
    rest, finished = b"", False
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            body = json.loads(data)
            yield from _pieces(body)
            finished = finished or any(choice.get("finish_reason") for choice in body.get("choices") or [])
    if finished:  # some servers leave [DONE] out
        return
    raise EndpointError("the endpoint's answer broke off", remedy="Look at its log.")


def _pieces(body: Any) -> Iterator[Piece]:
    """The text and usage in one completion or one chunk of it."""
    if not isinstance(body, dict):
        raise EndpointError("the endpoint sent no completion", remedy="Check that it speaks OpenAI's form.")
    if body.get("error"):
        raise EndpointError(f"the endpoint failed: {body['error']}", remedy="Look at its log.")
    for choice in body.get("choices") or []:
        part = choice.get("delta") or choice.get("message") or {}
        if isinstance(part.get("content"), str):
            yield Piece(part["content"])
    usage = body.get("usage")
    if isinstance(usage, dict):
        yield Piece(usage={name: count for name, count in usage.items() if type(count) is int and count >= 0})
