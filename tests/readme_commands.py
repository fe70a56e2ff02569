"""The commands and the Python that a document shows, taken out so that tests can run them."""

import re
from typing import NamedTuple

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*).*$")
SHELL = ("console", "bash", "sh", "shell")


class Example(NamedTuple):
    """One command (its lines joined) or one block of Python, and the document's line where it begins."""

    line: int
    text: str


def shell_commands(document: str) -> list[Example]:
    """Every command of the fenced shell blocks, in order.

    In a block with a line that starts with `$ `, those lines are the commands and the rest is what they print;
    in one without, each line that is not empty and not a comment is a command. A trailing backslash goes on.
    """
    found = []
    for first, lines in _blocks(document, SHELL):
        prompted = any(line.startswith("$ ") for line in lines)
        numbered = iter(enumerate(lines, first))
        for number, line in numbered:
            if prompted and not line.startswith("$ "):
                continue
            text = line.removeprefix("$ ").strip()
            while text.endswith("\\"):
                text = text[:-1].rstrip() + " " + next(numbered, (0, ""))[1].strip().removeprefix("> ")
            if text and not text.startswith("#"):
                found.append(Example(number, text))
    return found


def python_blocks(document: str) -> list[Example]:
    """Every fenced block of Python, in order."""
    return [Example(first, "\n".join(lines) + "\n") for first, lines in _blocks(document, ("python",))]


def _blocks(document: str, languages: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """(line of the first line, lines) of each fenced block in one of the languages."""
    found: list[tuple[int, list[str]]] = []
    inside: tuple[str, str, bool] | None = None
    for number, line in enumerate(document.splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside = (fence["ticks"], fence["indent"], fence["language"].lower() in languages)
            if inside[2]:
                found.append((number + 1, []))
        elif inside is not None and line.strip() == inside[0]:
            inside = None
        elif inside is not None and inside[2]:
            found[-1][1].append(line.removeprefix(inside[1]))
    return found
