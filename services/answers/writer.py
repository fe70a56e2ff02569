"""An answer as an endpoint writes it: checked on its way, held back until it cites something that exists."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from slidelake.errors import EndpointError
from slidelake.services.answers.citation_filter import CitationFilter
from slidelake.services.answers.endpoint import Endpoint
from slidelake.services.answers.passage import Passage
from slidelake.services.answers.prompt import NO_ANSWER, messages

__all__ = ["Written", "write"]

#: Characters of an answer at most, whatever the endpoint makes of its limit of tokens.
TEXT_LIMIT = 8_000


@dataclass
class Written:
    """What came of an endpoint's answer. `text` is empty where nothing of it can be shown."""

    text: str = ""
    #: Passages (by their place in the context, from 0) in the order of their numbers in `text`, from 1.
    cited: list[int] = field(default_factory=list)
    removed: int = 0
    #: The endpoint said that the passages do not answer.
    refused: bool = False
    usage: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write(
    endpoint: Endpoint,
    question: str,
    passages: Sequence[Passage],
    pictures: Sequence[tuple[str, str]] = (),
) -> Iterator[str | Written]:
    """Pieces of the answer's text as they can be shown, then `Written`, always the last.

    Nothing is shown before the first citation of a passage that exists: a text without one is never an answer. What
    goes wrong after that leaves the text that was shown, and a note.
    """
    checked = CitationFilter(len(passages))
    written = Written()
    held: list[str] = []

    def shown(piece: str) -> Iterator[str]:
        held.append(piece)
        if piece and checked.shown:
            ready, held[:] = "".join(held), []
            written.text += ready
            yield ready

    taken = 0
    try:
        for piece in endpoint.write(messages(question, passages, pictures)):
            written.usage |= piece.usage
            taken += len(piece.text)
            if taken > TEXT_LIMIT:
                written.notes.append(f"the endpoint's answer was cut after {TEXT_LIMIT:,} characters")
                yield from shown(checked.feed(piece.text[: TEXT_LIMIT - taken]))
                break
            yield from shown(checked.feed(piece.text))
    except EndpointError as error:
        written.notes.append(str(error))
    yield from shown(checked.close())
    written.cited = [passage - 1 for passage in checked.shown]
    written.removed = checked.removed
    written.refused = not written.text and _refuses("".join(held))
    if checked.removed:
        written.notes.append(
            f"{checked.removed} citation{'s' * (checked.removed > 1)} of no passage removed from the endpoint's answer"
        )
    if checked.links_removed:
        written.notes.append(
            f"{checked.links_removed} link{'s' * (checked.links_removed > 1)} or tags removed from the endpoint's answer"
        )
    yield written


def _refuses(text: str) -> bool:
    return bool(re.match(rf"\W*{NO_ANSWER}\W*", text.strip(), re.IGNORECASE))
