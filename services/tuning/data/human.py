"""Texts that are about animals: by the animals' names, but not by what is only called after them."""

from __future__ import annotations

import re

__all__ = ["animal_in"]

_ANIMAL = re.compile(
    r"""(?<![\w-])(?:
    mouse|mice|murine|rats?|hamsters?|guinea[ ]pigs?|gerbils?|rabbits?|leporine|canines?|dogs?|puppy|puppies
    |felines?|cats?|kittens?|bovines?|cows?|cattle|calf|calves|porcine|pigs?|piglets?|swine|ovine|sheep|lambs?|caprine|goats?
    |equines?|horses?|foals?|monkeys?|macaques?|primates?|simian|ferrets?|minks?|chickens?|hens?|poultry|avian|birds?
    |zebrafish|frogs?|xenopus|drosophila|reptiles?|snakes?|turtles?|lizards?|veterinary|laboratory[ ]animals?
    |experimental[ ]animals?|animal[ ]models?|(?:in|from)[ ](?:an[ ]|other[ ]|some[ ])?animals?
    )(?![\w])""",
    re.IGNORECASE | re.VERBOSE,
)
#: What follows, or comes before, an animal's name that names no animal's tissue.
_AFTER = re.compile(
    r"""[-\s]*(?:'s[-\s]*)?(?:
    tail|bite|bites|bitten|scratch|ear|eye|eyes|wire|fat|pox|coat|cry|mouth|flesh|vertebra\w*
    |bone[ ]disease|shoe|hoof|foot
    |anti\w*|monoclonal|polyclonal|serum|albumin|double[ ]minute|typhus|virus|crease|bioprosthe\w*
    |prosthe\w*|valves?|pericardi\w*
    |heparin|insulin|gelatin|dander|hair|allerg\w*|keepers?|owners?|fanciers?|lung|milk|flu|influenza|papilloma\w*
    |tooth|teeth|fossa|muscle|of[ ]the[ ](?:leg|jaw|mouth)
    )(?!\w)""",
    re.IGNORECASE | re.VERBOSE,
)
_BEFORE = re.compile(
    r"(?:anti|anti-|dead|left|right|upper|lower|maxillary|mandibular|exposed to|contact with|bite of an?|bitten by an?"
    r"|eats?|eating|undercooked|in the|swollen|painful)[\s-]*$",
    re.IGNORECASE,
)
#: Calf, canine, lung and muscle are parts of people too; an animal must be named otherwise.
_PEOPLE_TOO = frozenset({"calf", "calves", "canine", "canines", "cat", "bird", "birds"})
_LUNG = re.compile(r"[-\s]*lung", re.IGNORECASE)


def animal_in(text: str) -> str | None:
    """The first animal that a text is about, in lower case; None where it is about none.

    "rat-tail", "chicken-wire calcification", "canine tooth", "bovine bioprosthesis" and "mouse anti-human" are
    about people.
    """
    for match in _ANIMAL.finditer(text):
        name = match[0].lower()
        # Bird fancier's lung is a disease of people; the lung of a mouse is not.
        after = _AFTER.match(text, match.end())
        if after and not (_LUNG.fullmatch(after[0]) and name not in _PEOPLE_TOO):
            continue
        if name in _PEOPLE_TOO and _BEFORE.search(text[: match.start()]):
            continue
        if re.search(r"(?:anti|anti-|versus|non-?)[\s-]*$", text[: match.start()], re.IGNORECASE):
            continue
        return name
    return None
