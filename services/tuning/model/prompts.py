"""Rows as the language model reads them: tokens, where the features go, and which tokens are learnt.

No token is added to the tokenizer: the places of the features hold no word at all, and are known by their number.
"""

from dataclasses import dataclass
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data import TuningRow

__all__ = ["FEATURES", "IGNORED", "Prompt", "Prompter"]

#: The word that stands for pictures or features in a turn.
MARK = "<image>"
#: What stands for a feature's token among a prompt's ids, and for a token that is not learnt among the labels.
FEATURES, IGNORED = -1, -100
#: An answer that is looked for in what a chat template writes.
_PROBE = "answer"


@dataclass(frozen=True)
class Prompt:
    """`ids` with FEATURES where the projector's vectors go, `labels` of the same length with IGNORED outside answers;
    `asked` is how many ids come before the last answer."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    asked: int


class Prompter:
    """Writes rows as conversations: by the tokenizer's chat template, or plainly where it has none.

    The features stand at the first `<image>` of what users say, or before the first question; further marks go. All
    answers are learnt. Words of a row that are the tokenizer's own signs (`</s>`, `<|im_end|>`) are taken out, as
    text must not end a turn.
    """

    def __init__(self, tokenizer: Any, *, tokens: int, context: int) -> None:
        self._tokenizer, self._tokens, self._context = tokenizer, tokens, context
        self.plain = not getattr(tokenizer, "chat_template", None)
        # Some tokenizers list signs such as <|end|> among their added tokens alone.
        added = {place: str(each) for place, each in tokenizer.added_tokens_decoder.items() if each.special}
        self._special = {*added, *tokenizer.all_special_ids}
        self._signs = sorted({MARK, *added.values(), *tokenizer.all_special_tokens}, key=len, reverse=True)
        if tokenizer.eos_token_id is None:
            raise UsageError(
                "the tokenizer has no sign for the end of a text",
                remedy="Set its eos_token and save it again.",
            )
        if tokens >= context:
            raise UsageError(
                f"the features take {tokens} tokens of a context of {context}",
                remedy="Lower --tokens, or raise --context.",
            )

    @property
    def pad(self) -> int:
        """What fills rows of unlike length; attention leaves it out."""
        pad = self._tokenizer.pad_token_id
        return int(self._tokenizer.eos_token_id if pad is None else pad)

    @property
    def ends(self) -> list[int]:
        """The signs that end an answer: that of a text, and the one that the chat template writes after an answer,
        which is another one in some tokenizers (<|im_end|> beside <|endoftext|>)."""
        found = {int(self._tokenizer.eos_token_id)}
        if not self.plain:
            turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": _PROBE}]
            after = self._written(turns, ask=False).rpartition(_PROBE)[2]
            found |= set(
                [
                    each
                    for each in self._tokenizer(after, add_special_tokens=False)["input_ids"]
                    if each in self._special
                ][:1]
            )
        return sorted(found)

    def words(self, ids: list[int]) -> str:
        """What an answer's ids say."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def __call__(self, row: TuningRow) -> Prompt | None:
        """The row's prompt; None where it is longer than the context: half an answer would be taught else."""
        ids: list[int] = []
        labels: list[int] = []
        asked = 0
        for text, learnt in self._segments(row):
            if learnt:
                asked = len(ids)
            more = self._ids(text)
            ids += more
            labels += more if learnt else [IGNORED] * len(more)
        if ids.count(FEATURES) != self._tokens:
            raise UsageError(
                f"the tokenizer's chat template leaves the features of row {row.id} out",
                remedy="Its template must write what users say as it stands.",
            )
        return Prompt(tuple(ids), tuple(labels), asked) if len(ids) <= self._context else None

    def _ids(self, text: str) -> list[int]:
        before, mark, after = text.partition(MARK)
        words = [
            list(self._tokenizer(each, add_special_tokens=False)["input_ids"]) if each else []
            for each in (before, after)
        ]
        return words[0] + [FEATURES] * self._tokens * bool(mark) + words[1]

    def _segments(self, row: TuningRow) -> list[tuple[str, bool]]:
        """The conversation in pieces, each learnt or not; the features' mark is in one that is not."""
        turns = self._turns(row)
        written = self._plainly if self.plain else self._by_template
        return written(turns)

    def _turns(self, row: TuningRow) -> list[dict[str, str]]:
        turns, marked = [], False
        users = [number for number, turn in enumerate(row.turns) if turn.role == "user"]
        at = next((n for n in users if MARK in row.turns[n].text), users[0] if users else None)
        for number, turn in enumerate(row.turns):
            before, mark, after = turn.text.partition(MARK)
            if number == at:
                # Without a mark the whole turn is `before`.
                parts = (before, after) if mark else ("", f"\n{before}")
                text = MARK.join(self._clean(each) for each in parts)
                marked = True
            else:
                text = self._clean(turn.text)
            turns.append({"role": turn.role, "content": text.strip()})
        # An answer without a question: a caption as it stands.
        return turns if marked else [{"role": "user", "content": MARK}, *turns]

    def _clean(self, text: str) -> str:
        for sign in self._signs:
            text = text.replace(sign, " ")
        return text

    def _plainly(self, turns: list[dict[str, str]]) -> list[tuple[str, bool]]:
        tokenizer = self._tokenizer
        pieces: list[tuple[str, bool]] = [(tokenizer.bos_token or "", False)]
        for turn in turns:
            if turn["role"] == "assistant":
                pieces += [
                    ("Assistant:", False),
                    (f" {turn['content']}{tokenizer.eos_token}", True),
                    ("\n", False),
                ]
            else:
                pieces.append(("User: " * (turn["role"] == "user") + turn["content"] + "\n", False))
        return pieces[:-1]

    def _by_template(self, turns: list[dict[str, str]]) -> list[tuple[str, bool]]:
        """What the template writes for one turn more, each time: what it writes itself is not learnt."""
        pieces: list[tuple[str, bool]] = []
        done = ""
        for number, turn in enumerate(turns):
            if turn["role"] == "assistant":
                asked = self._written(turns[:number], ask=True)
                answered = self._written(turns[: number + 1], ask=False)
                if not (asked.startswith(done) and answered.startswith(asked)):
                    # A template that writes earlier turns anew: what is said is taken as it stands.
                    answered = f"{asked}{turn['content']}{self._tokenizer.eos_token}"
                    pieces, done = [], ""
                pieces += [(asked[len(done) :], False), (answered[len(asked) :], True)]
                done = answered
        return pieces

    def _written(self, turns: list[dict[str, str]], *, ask: bool) -> str:
        try:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask))
        # Templates are programs in jinja, which raise what they like: roles they do not know, mostly.
        except Exception as exc:
            raise UsageError(
                f"the tokenizer's chat template refuses a conversation ({exc})",
                remedy="Many take no system turn, and user and assistant in turns only: make rows of that form.",
            ) from exc
