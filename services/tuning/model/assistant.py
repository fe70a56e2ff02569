"""The model that is tuned: a projector whose vectors stand among the embeddings of a language model's words."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slidelake.services.tuning.model.features import Packed
from slidelake.services.tuning.model.projectors.base import Projector
from slidelake.services.tuning.model.prompts import FEATURES, IGNORED, Prompt

__all__ = ["Assistant", "Padded", "pad_prompts"]


@dataclass(frozen=True)
class Padded:
    """B prompts of unlike length as one table: `ids`, `labels` and `there` (B, L); `ids` hold FEATURES where the
    projector's vectors go."""

    ids: Tensor
    labels: Tensor
    there: Tensor

    def to(self, device: torch.device) -> "Padded":
        """On a device."""
        return Padded(*(each.to(device, non_blocking=True) for each in (self.ids, self.labels, self.there)))


def pad_prompts(prompts: Sequence[Prompt], pad: int, *, ask: bool = False) -> Padded:
    """Fills up to the longest: on the right to learn; on the left to `ask`, when the last answers are left out."""
    cut = [each.asked if ask else len(each.ids) for each in prompts]
    longest = max(cut)
    ids, labels, there = [], [], []
    for each, length in zip(prompts, cut, strict=True):
        empty = longest - length
        left, right = (empty, 0) if ask else (0, empty)
        ids.append([pad] * left + list(each.ids[:length]) + [pad] * right)
        labels.append([IGNORED] * left + list(each.labels[:length]) + [IGNORED] * right)
        there.append([0] * left + [1] * length + [0] * right)
    return Padded(torch.tensor(ids), torch.tensor(labels), torch.tensor(there))


class Assistant(nn.Module):
    """A projector and a causal language model. The projector stays outside of peft, which freezes what it wraps."""

    def __init__(self, projector: Projector, language: Any) -> None:
        super().__init__()
        self.projector = projector
        self.language = language
        base = getattr(language, "get_base_model", lambda: language)()
        self._keeps = "logits_to_keep" in inspect.signature(base.forward).parameters

    def _embedded(self, padded: Padded, packed: Packed) -> Tensor:
        """(B, L, width): the words' embeddings, and each bag's vectors in its prompt's places, in their order."""
        places = padded.ids == FEATURES
        words: Tensor = self.language.get_input_embeddings()(padded.ids.masked_fill(places, 0))
        vectors = self.projector(packed.features, packed.cu_seqlens, packed.coords).to(words.dtype)
        return words.masked_scatter(places[..., None], vectors)

    def loss(self, padded: Padded, packed: Packed) -> Tensor:
        """() float32: the sum of the cross-entropy over the learnt tokens."""
        # The word after position n is learnt at n. Logits of what comes before the first answer are not made.
        learnt = (padded.labels != IGNORED).any(0).nonzero()
        keep = padded.ids.shape[1] - int(learnt[0]) + 1
        logits = self.language(
            inputs_embeds=self._embedded(padded, packed),
            attention_mask=padded.there,
            use_cache=False,
            **({"logits_to_keep": keep} if self._keeps else {}),
        ).logits[:, -keep:-1]
        labels = padded.labels[:, 1 - keep :]
        return F.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    @torch.inference_mode()
    def write(
        self, padded: Padded, packed: Packed, *, most: int, ends: Sequence[int], pad: int
    ) -> list[list[int]]:
        """The ids of each answer: the likeliest word each time, until one of the end signs or `most` words."""
        from transformers import GenerationConfig

        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=most, do_sample=False, num_beams=1, eos_token_id=list(ends), pad_token_id=pad
        )
        made = self.language.generate(
            inputs_embeds=self._embedded(padded, packed),
            attention_mask=padded.there,
            generation_config=greedy,
        )
        return [list(takewhile(lambda each: each not in ends, ids)) for ids in made.tolist()]

    def tuned(self) -> dict[str, Tensor]:
        """What learns in some phase: the projector's state, and LoRA's matrices, by name."""
        own = {f"projector.{name}": value for name, value in self.projector.state_dict().items()}
        lora = {
            f"language.{name}": value for name, value in self.language.named_parameters() if "lora_" in name
        }
        return own | lora

    def load_tuned(self, state: dict[str, Tensor]) -> None:
        """Takes what `tuned` gave. Raises KeyError where the names are others."""
        here = self.tuned()
        if here.keys() != state.keys():
            raise KeyError(*sorted(here.keys() ^ state.keys()))
        with torch.no_grad():
            for name, value in here.items():
                value.copy_(state[name])
