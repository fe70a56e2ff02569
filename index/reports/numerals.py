"""Numbers in words, and back: `37` is "thirty-seven". English, 0 to 9,999."""

from __future__ import annotations

__all__ = ["number_of", "number_of_word", "words_of"]

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUE = {word: number for number, word in enumerate(_SMALL)} | {
    word: 10 * (place + 2) for place, word in enumerate(_TENS)
}


def words_of(number: int) -> str:
    """The number in words, as people write it; ValueError outside 0 to 9,999."""
    if not 0 <= number <= 9999:
        raise ValueError(f"{number} is not between 0 and 9,999")
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")
    name, size = ("thousand", 1000) if number >= 1000 else ("hundred", 100)
    many, rest = divmod(number, size)
    return f"{words_of(many)} {name}" + (f" {words_of(rest)}" if rest else "")


def number_of(words: list[str]) -> int | None:
    """The number that lower-case words spell ("one", "hundred", "seven"); None where they spell none."""
    total = current = 0
    last = 1000
    for word in words:
        if word == "hundred" and 0 < current < 100:
            current, last = current * 100, 100
        elif word == "thousand" and current and not total:
            total, current, last = current * 1000, 0, 1000
        elif word in _VALUE and _VALUE[word] < last:
            value = _VALUE[word]
            current += value
            last = 10 if value >= 20 else 0
        else:
            return None
    return total + current if words else None


def number_of_word(word: str) -> int | None:
    """The number of one word, in letters or in up to four digits; None where it is none."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 4 else number_of([word])
