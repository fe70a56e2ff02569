"""Texts that were there before: the same but for case and punctuation, or nearly (MinHash, then true Jaccard)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

__all__ = ["Duplicates", "plain_words"]

#: 16 bands of 4 hashes: two texts of Jaccard 0.8 meet in a band with probability 0.9998, of 0.5 with 0.64.
_BANDS, _ROWS = 16, 4
_SHINGLE = 3


def plain_words(text: str) -> list[str]:
    """The words and numbers of a text in lower case, without punctuation."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


@dataclass
class Duplicates:
    """Keeps what it was shown: per text 8 bytes a word and 16 places in a table.

    Near is a Jaccard similarity of the sets of three-word shingles of at least `threshold`. Texts are compared inside
    their `group` alone: the same answer about another slide is no duplicate. The first of several stays, so the order
    of the rows decides; the same order gives the same.
    """

    threshold: float = 0.8
    seed: int = 0
    _exact: dict[tuple[str, str], str] = field(default_factory=dict)
    _bands: dict[tuple[str, int, bytes], list[str]] = field(default_factory=dict)
    _shingles: dict[tuple[str, str], NDArray[np.uint64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self._a, self._b = random.integers(0, 2**64, (2, _BANDS * _ROWS), dtype=np.uint64)
        self._a |= np.uint64(1)

    def find(self, name: str, text: str, group: str = "") -> tuple[Literal["exact", "near"], str] | None:
        """How a text repeats one that was shown before, and that one's name; None where it is new, and now kept."""
        words = plain_words(text)
        same = self._exact.get((group, " ".join(words)))
        if same is not None:
            return "exact", same
        shingles = _shingles(words)
        keys = self._keys(shingles, group)
        seen: set[str] = set()
        for key in keys:
            for other in self._bands.get(key, ()):
                if other not in seen and _jaccard(shingles, self._shingles[group, other]) >= self.threshold:
                    return "near", other
                seen.add(other)
        self._exact[group, " ".join(words)] = name
        self._shingles[group, name] = shingles
        for key in keys:
            self._bands.setdefault(key, []).append(name)
        return None

    def _keys(self, shingles: NDArray[np.uint64], group: str) -> list[tuple[str, int, bytes]]:
        if not len(shingles):
            return []
        # (hashes, shingles): multiply and add modulo 2^64, of which the upper half is well mixed.
        hashes = (self._a[:, None] * shingles[None, :] + self._b[:, None]) >> np.uint64(32)
        least = hashes.min(axis=1).reshape(_BANDS, _ROWS)
        return [(group, band, least[band].tobytes()) for band in range(_BANDS)]


def _shingles(words: list[str]) -> NDArray[np.uint64]:
    """Hashes of all runs of three words, sorted, each once; of fewer words the one run there is."""
    length = min(_SHINGLE, len(words))
    runs = {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)} if words else set()
    return np.array(sorted(xxhash.xxh3_64_intdigest(run.encode()) for run in runs), dtype=np.uint64)


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(1, len(one) + len(other) - both)
