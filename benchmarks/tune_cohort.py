"""A synthetic cohort for tuning: bags that mix eight tissues, captions and questions that depend on the mixture.

Each tissue is a place in feature space; each patient has a stain of its own that shifts all of its patches, so that
patients who are held out look like nobody in training. A slide has one tissue most, another second, and patches of
three others. The words are few: what is tested is whether they are read off the features.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slidelake.services.tuning.data import Evidence, TuningRow, Turn, row_id
from slidelake.store import FeatureStore

__all__ = ["TISSUES", "Slide", "commit_slides", "draw_slides", "make_rows", "reading_text", "write_rows"]

TISSUES = ("tumour", "stroma", "necrosis", "fat", "muscle", "gland", "nerve", "mucus")
GRID, ENCODER = "256px-0.5mpp", "drawn.00000001"
SPACE = f"{GRID}/{ENCODER}"
DIM = 32
#: Shares of the patches: most, second, and three others together. The spread of patches and of stains is in units of
#: the distance scale of the tissues' places.
SHARES, NOISE, STAIN = (0.5, 0.25, 0.25), 1.0, 0.3
#: The last wording of each question is asked of held-out patients alone.
MOST = (
    "Which tissue is most common?", "What tissue covers most?", "Name the main tissue.", "What is the main tissue?"
)  # fmt: skip
SECOND = (
    "Which tissue comes second?", "What is the second tissue?", "Name the second tissue.", "Which is the second tissue?"
)  # fmt: skip
WHOLE = ("What is seen?", "What does it show?", "Name the two tissues.", "Which two tissues are seen?")
CAPTIONS = ("mostly {} with some {}", "much {} and some {}", "{} above all, then {}")
DESCRIBE = ("Describe it.", "Write a caption.")


@dataclass(frozen=True)
class Slide:
    """A slide of one patient: its most common tissue, the second, three others, and its bag (N, DIM) float16."""

    number: int
    part: str
    most: str
    second: str
    others: tuple[str, ...]
    features: np.ndarray[tuple[int, int], np.dtype[np.float16]]

    @property
    def slide_id(self) -> str:
        return f"S{self.number:04d}"

    @property
    def patient_id(self) -> str:
        return f"P{self.number:04d}"


def draw_slides(parts: dict[str, int], *, patches: int, seed: int) -> list[Slide]:
    """So many patients in each part, a slide each; half as many to twice as many patches."""
    # The tissues look the same in every cohort; patients, mixtures and patches are the seed's.
    places = np.random.default_rng(20261121).normal(size=(len(TISSUES), DIM))
    rng = np.random.default_rng(seed)
    slides: list[Slide] = []
    for part, count in parts.items():
        for _ in range(count):
            tissues = rng.permutation(len(TISSUES))[:5]
            size = int(rng.integers(patches // 2, 2 * patches))
            counts = np.round(size * np.array([*SHARES[:2], *[SHARES[2] / 3] * 3])).astype(int)
            which = rng.permutation(np.repeat(tissues, counts))
            stain = STAIN * rng.normal(size=DIM)
            features = places[which] + stain + NOISE * rng.normal(size=(len(which), DIM))
            names = [TISSUES[number] for number in tissues]
            slides.append(
                Slide(len(slides), part, names[0], names[1], tuple(names[2:]), features.astype(np.float16))
            )
    return slides


def commit_slides(store: FeatureStore, slides: Sequence[Slide]) -> None:
    """A grid and a bag for each slide, with its patient."""
    for slide in slides:
        count = len(slide.features)
        coords = np.stack([np.arange(count) % 10, np.arange(count) // 10], axis=1).astype(np.int32) * 256
        told = {"patient_id": slide.patient_id, "encoder": {"name": "drawn", "dim": DIM}}
        store.put_grid(slide.slide_id, GRID, coords=coords, columns={}, attributes={}, provenance=told)
        with store.bag_writer(slide.slide_id, GRID, ENCODER, dim=DIM) as writer:
            writer.write(slide.features)
            writer.commit(told)


def make_rows(slides: Sequence[Slide], seed: int) -> Iterator[TuningRow]:
    """Two captions a slide of the training and validation parts; three questions a slide, two of them closed."""
    rng = np.random.default_rng([seed, 1])
    for slide in slides:
        held_out = slide.part == "test"
        if not held_out:
            for _ in range(2):
                question = DESCRIBE[int(rng.integers(len(DESCRIBE)))]
                yield _row(slide, "slide-caption", question, _caption(slide.most, slide.second, rng))
        for task, wordings, answer, choices in _questions(slide):
            number = len(wordings) - 1 if held_out else int(rng.integers(len(wordings) - 1))
            yield _row(slide, task, wordings[number], answer, choices)


def _questions(slide: Slide) -> Iterator[tuple[str, Sequence[str], str, tuple[str, ...]]]:
    yield "most", MOST, slide.most, TISSUES
    yield "second", SECOND, slide.second, TISSUES
    yield "both", WHOLE, f"{slide.most} and {slide.second}", ()


def _row(slide: Slide, task: str, question: str, answer: str, choices: tuple[str, ...] = ()) -> TuningRow:
    return TuningRow(
        row_id(slide.slide_id, task, question, answer),
        task,
        slide.patient_id,
        (Turn("user", f"<image>\n{question}"), Turn("assistant", answer)),
        (Evidence("slide", slide.slide_id),),
        slide_id=slide.slide_id,
        space=SPACE,
        kind="closed" if choices else "open",
        choices=choices,
        split=slide.part,
    )


def _caption(most: str, second: str, rng: np.random.Generator) -> str:
    return CAPTIONS[int(rng.integers(len(CAPTIONS)))].format(most, second)


def write_rows(file: Path, rows: Iterator[TuningRow]) -> Path:
    """rows.jsonl; a question that was drawn twice for a slide is written once."""
    kept = {each.id: each for each in rows}
    file.write_text("".join(json.dumps(each.to_dict()) + "\n" for each in kept.values()), encoding="utf-8")
    return file


def reading_text(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """What the language model learns before it sees any slide: (prompt, answer) about tissues that are told in words.

    A description stands where features will stand, so that the model can answer about what it reads there.
    """
    rng = np.random.default_rng([seed, 2])
    for _ in range(count):
        names = [TISSUES[number] for number in rng.permutation(len(TISSUES))]
        most, second = names[:2]
        told = _caption(most, second, rng)
        kind = int(rng.integers(4))
        if kind == 0:
            question, answer = DESCRIBE[int(rng.integers(len(DESCRIBE)))], _caption(most, second, rng)
        elif kind == 1:
            question, answer = str(rng.choice(MOST)), most
        elif kind == 2:
            question, answer = str(rng.choice(SECOND)), second
        else:
            question, answer = str(rng.choice(WHOLE)), f"{most} and {second}"
        yield f"User: {told}\n{question}\nAssistant:", f" {answer}"
