"""What is asked of reports: for each topic several wordings, closed and open, and how a fact answers each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from slidelake.services.tuning.data.findings import FINDINGS

__all__ = ["TOPICS", "Question", "Topic", "choose"]


@dataclass(frozen=True)
class Question:
    """A wording. `answers` gives the answer by the fact's value; without it `form` is filled with the value."""

    text: str
    answers: Mapping[str, str] = field(default_factory=dict)
    form: str = "{}"

    @property
    def closed(self) -> bool:
        """Whether yes or no is the answer."""
        return set(self.answers.values()) == {"Yes", "No"}

    def answer(self, value: str) -> str:
        said = self.answers[value] if self.answers else self.form.format(value)
        return said if said.startswith("p") and said[1:2].isupper() else said[0].upper() + said[1:]


@dataclass(frozen=True)
class Topic:
    """`questions` are its wordings; `cues` the words by which passages are found for it."""

    questions: tuple[Question, ...]
    cues: str


def choose(topic: str, who: str, seed: int, count: int = 1) -> list[Question]:
    """`count` wordings of a topic, drawn by a hash of seed, topic and who is asked about."""
    several = TOPICS[topic].questions
    digest = hashlib.sha256(f"{seed}:{topic}:{who}".encode()).digest()
    start = int.from_bytes(digest[:4], "big") % len(several)
    return [several[(start + at) % len(several)] for at in range(min(count, len(several)))]


def _open(*texts: str, cues: str, form: str = "{}") -> Topic:
    return Topic(tuple(Question(text, form=form) for text in texts), cues)


def _finding(name: str, are: str) -> Topic:
    yes = {"present": "Yes", "absent": "No"}
    said = {"present": f"{name} {are} present", "absent": f"{name} {are} absent"}
    verb = are.capitalize()
    there = "Are there" if are == "are" else "Is there"
    return Topic(
        (
            Question(f"{there} {name}?", yes),
            Question(f"{verb} {name} present in this case?", yes),
            Question(f"Does the tissue show {name}?", yes),
            Question(f"What can be said of {name} here?", said),
        ),
        name,
    )


_NODES = {"involved": "Yes", "free": "No"}
_MARGINS = {"involved": "No", "free": "Yes"}

TOPICS: Mapping[str, Topic] = {
    "histology": _open(
        "What kind of tumor is this?",
        "What is the histologic type of the tumor?",
        "Which diagnosis fits the tumor?",
        "How would you classify this neoplasm?",
        cues="diagnosis histologic type carcinoma tumor",
    ),
    "organ": _open(
        "Which organ is the tumor from?",
        "What is the organ of origin?",
        "In which organ did this tumor arise?",
        cues="specimen organ site resection",
    ),
    "place": _open(
        "Where is the tumor located?",
        "What is the site of the tumor?",
        "Which part is affected by the tumor?",
        cues="tumor site location",
    ),
    "side": _open(
        "Which side is the specimen from?",
        "What is the laterality of the specimen?",
        "Is the specimen from the left or the right side?",
        cues="laterality left right side",
    ),
    "who-grade": _open(
        "What is the WHO grade?", "Which WHO grade has the tumor?", cues="WHO grade", form="WHO grade {}"
    ),
    "fuhrman-grade": _open(
        "What is the Fuhrman nuclear grade?", "How is the tumor graded by Fuhrman?",
        cues="Fuhrman nuclear grade", form="Fuhrman grade {}",
    ),
    "gleason": _open(
        "What are the Gleason patterns?", "Which Gleason score was given?", cues="Gleason score pattern",
        form="Gleason {}",
    ),
    "differentiation": _open(
        "How well differentiated is the tumor?",
        "What is the degree of differentiation?",
        "Describe the differentiation of the tumor.",
        cues="differentiated grade",
        form="{} differentiated",
    ),
    "grade": Topic(
        (
            Question("Is the carcinoma of high grade?", {"high": "Yes", "low": "No"}),
            Question("Is this a high-grade or a low-grade carcinoma?", form="{} grade"),
            Question("What grade has the carcinoma?", form="{} grade"),
        ),
        "grade high low",
    ),
    "t-stage": _open(
        "What is the pathologic T category?", "Which pT category was assigned?", "What is the pT stage of the tumor?",
        cues="stage pT primary tumor TNM",
    ),
    "n-stage": _open(
        "What is the pathologic N category?", "Which pN category was assigned?",
        cues="stage pN regional lymph nodes TNM",
    ),
    "nodes": Topic(
        (
            Question("Do the lymph nodes contain tumor?", _NODES),
            Question("Are any lymph nodes involved by tumor?", _NODES),
            Question(
                "What is the status of the lymph nodes?",
                {"involved": "involved by tumor", "free": "free of tumor"},
            ),
        ),
        "lymph nodes metastasis negative positive",
    ),
    "margins": Topic(
        (
            Question("Are the surgical margins free of tumor?", _MARGINS),
            Question("Was the tumor completely excised, by the margins?", _MARGINS),
            Question(
                "What is the status of the surgical margins?",
                {"involved": "involved by tumor", "free": "free of tumor"},
            ),
        ),
        "surgical resection margins free involved",
    ),
    **{topic: _finding(each.name, "are" if each.plural else "is") for topic, each in FINDINGS.items()},
}  # fmt: skip
