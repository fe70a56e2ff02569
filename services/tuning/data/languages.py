"""In which language a text is written, by its commonest words: enough to keep other languages out.

A report in note form has few of them, and scans hold bits of words, so another language must be shown by five of its
words at least and twice as many as English has. Other scripts are told by their letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

__all__ = ["language_of"]

_WORDS = {
    "en": "the of and is are with in to no not for from by this was were as on at or an shows seen identified present",
    "de": "der die das und ist sind mit im von zu nicht ein eine eines einer den dem des kein keine auf wird wurden sowie",
    "fr": "le la les et est sont avec dans du des une un pas aucun aucune sur au aux ce cette par chez ont été",
    "es": "el los las y es son con en del una un no sin se que por para presenta muestra observa lesión al",
    "pt": "o os e é são com em do da dos das uma um não sem que por para apresenta ao no na nos",
    "it": "il lo gli e è sono con nel della delle dei una un non senza di che per si al alla presenta",
    "nl": "de het een en is zijn met van niet geen op aan door bij er wordt worden ook voor tot",
    "pl": "i w z na nie jest są do od oraz bez się o guza przez",
}
#: Words of one letter are left out: scans are full of letters that stand alone.
_SETS = {
    language: frozenset(word for word in words.split() if len(word) > 1) for language, words in _WORDS.items()
}
_LEAST = 5


def language_of(text: str) -> str:
    """A code such as "en" or "de"; "other" for another script, "" where the text is too short to tell."""
    scripts = Counter(unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha())
    letters = sum(scripts.values())
    if letters and scripts["LATIN"] < 0.7 * letters:
        return "other"
    words = Counter(re.findall(r"[^\W\d_]+", text.casefold()))
    shown = {language: sum(words[word] for word in known) for language, known in _SETS.items()}
    best = max(shown, key=lambda language: (shown[language], language == "en"))
    if best != "en" and shown[best] < max(_LEAST, 2 * shown["en"]):
        best = "en"
    return best if shown[best] >= _LEAST else ""
