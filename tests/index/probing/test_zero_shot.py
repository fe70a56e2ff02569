"""Zero-shot: the mean over templates, names of classes, and encoders that read no words."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from slidelake.encoders import EncoderSpec, create_encoder
from slidelake.errors import QueryError, UsageError
from slidelake.index.probing import zero_shot
from tests.index.probing.rows import labelled

DIM = 16


@dataclass
class WordEncoder:
    """Patches and texts in one space: a text is the sum of its words' vectors, so that templates matter a little."""

    spec: EncoderSpec = field(default_factory=lambda: EncoderSpec("words", DIM))

    def encode(self, patches: np.ndarray) -> np.ndarray:
        return np.zeros((len(patches), DIM), np.float32)

    def encode_text(self, texts: list[str]) -> np.ndarray:
        return np.stack([sum(self.word(each) for each in text.lower().split()) for text in texts])

    @staticmethod
    def word(word: str) -> np.ndarray:
        return np.random.default_rng(list(word.encode())).normal(size=DIM)


def tissue(noise: float = 0.5) -> tuple[np.ndarray, list[str]]:
    labels = ["tumour", "stroma", "fat"] * 20
    rng = np.random.default_rng(0)
    return np.stack([WordEncoder.word(each) + noise * rng.normal(size=DIM) for each in labels]), labels


def test_the_score_is_the_mean_cosine_over_templates() -> None:
    features, labels = tissue(noise=2.0)
    templates = ("an image of {}", "a very large micrograph with much {} indeed")
    encoder = WordEncoder()
    found = zero_shot(labelled(features, labels), encoder, templates=templates, draws=200)
    classes = ("fat", "stroma", "tumour")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = np.zeros((len(labels), 3))
    for template in templates:
        texts = encoder.encode_text([template.format(name) for name in classes])
        cosines += unit @ (texts / np.linalg.norm(texts, axis=1, keepdims=True)).T / len(templates)
    right = np.array(classes)[cosines.argmax(axis=1)] == labels
    assert found.accuracy.mean == pytest.approx(right.mean())
    assert 1 / 3 < found.accuracy.low < found.accuracy.mean < found.accuracy.high
    assert np.trace(found.confusion) == right.sum()
    assert np.sum(found.confusion) == len(labels)
    assert set(found.templates) == set(templates)
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(found.to_frame()) == 3


def test_names_of_classes() -> None:
    features, labels = tissue(noise=0.2)
    coded = labelled(features, [{"tumour": "k_1", "stroma": "k_2", "fat": "k_3"}[each] for each in labels])
    names = {"k_1": ["tumour"], "k_2": ["stroma", "stroma tissue"], "k_3": ["fat"]}
    blind = zero_shot(coded, WordEncoder()).accuracy.mean
    told = zero_shot(coded, WordEncoder(), names=names).accuracy.mean
    assert told > 0.95 > blind
    with pytest.raises(UsageError, match="no class 'k_9'"):
        zero_shot(coded, WordEncoder(), names={"k_9": ["bone"]})
    with pytest.raises(UsageError, match="has no name"):
        zero_shot(coded, WordEncoder(), names={"k_1": []})


def test_rows_of_one_patient_count_as_one() -> None:
    """Each patient's rows are one row five times over: rows drawn for themselves would claim too much."""
    features, labels = tissue(noise=3.0)
    of = np.repeat(np.arange(60), 5)
    widths = []
    for groups in ([f"P{n}" for n in of], [""] * len(of)):
        rows = labelled(features[of], [labels[n] for n in of], groups=groups)
        interval = zero_shot(rows, WordEncoder(), draws=1000).accuracy
        widths.append(interval.high - interval.low)
    assert widths[0] == pytest.approx(widths[1] * 5**0.5, rel=0.2)


def test_what_is_refused() -> None:
    features, labels = tissue()
    rows = labelled(features, labels)
    with pytest.raises(QueryError, match="colour-histogram reads images alone"):
        zero_shot(rows, create_encoder("colour-histogram"))
    for templates in (("an image",), ("{} and {}",), ()):
        with pytest.raises(UsageError, match="template"):
            zero_shot(rows, WordEncoder(), templates=templates)
    with pytest.raises(UsageError, match="dimensions"):
        zero_shot(labelled(features[:, :5], labels), WordEncoder())
