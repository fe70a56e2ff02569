"""Answers of a tuned model to the last questions of rows, some rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from slidelake.services.tuning.model.assistant import Assistant, pad_prompts
from slidelake.services.tuning.model.features import FeatureReader, Waiting, stream
from slidelake.services.tuning.model.prompts import Prompter
from slidelake.services.tuning.model.rows import Placed

if TYPE_CHECKING:
    from slidelake.encoders.training import Precision

__all__ = ["write_answers"]


def write_answers(
    assistant: Assistant,
    prompter: Prompter,
    reader: FeatureReader,
    rows: Sequence[Placed],
    *,
    batch: int,
    most: int,
    precision: "Precision",
    device: torch.device,
    tell: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[Placed, str]]:
    """Each row with the answer, of `most` tokens at most, that the model writes: the likeliest word each time.

    The rows must fit the context. `tell` is called with the number of rows that are done.
    """
    assistant.eval()
    # Rows of like length share a batch, so that little is filled up; longest first shows at once what memory takes.
    written = sorted(
        ((each, prompt) for each in rows if (prompt := prompter(each.row)) is not None),
        key=lambda pair: (-pair[1].asked, pair[0].row.id),
    )
    cut = [written[n : n + batch] for n in range(0, len(written), batch)]
    packed = stream(
        reader,
        [(("ask",), [each for each, _ in some]) for some in cut],
        readers=1,
        ahead=2,
        waiting=Waiting(),
    )
    ends = prompter.ends
    done = 0
    for some, features in zip(cut, packed, strict=True):
        padded = pad_prompts([prompt for _, prompt in some], prompter.pad, ask=True).to(device)
        with precision.cast():
            answers = assistant.write(padded, features.to(device), most=most, ends=ends, pad=prompter.pad)
        done += len(some)
        tell(done)
        for (each, _), ids in zip(some, answers, strict=True):
            yield each, prompter.words(ids)
