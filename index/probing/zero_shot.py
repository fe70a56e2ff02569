"""Zero-shot classification: the class whose description an encoder of images and text puts nearest to the patch.

    score(patch, class) = mean over templates t of cos(image(patch), text(t with the class's name))

A class with several names has the mean over them as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidelake.encoders import PatchEncoder
from slidelake.errors import QueryError, UsageError
from slidelake.index.evaluate import Interval
from slidelake.index.probing.bootstrap import tally
from slidelake.index.probing.labelled import Labelled, owners

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.store import FeatureStore

__all__ = ["TEMPLATES", "ZeroShot", "check_reads_text", "text_side", "zero_shot"]

#: `{}` stands for the class.
TEMPLATES = (
    "an H&E image of {}",
    "a histopathology patch that shows {}",
    "{} under the microscope",
    "a tissue section with {}",
    "a micrograph of {}, stained with haematoxylin and eosin",
)


@dataclass(frozen=True)
class ZeroShot:
    """Means with 95 % intervals by patient; `templates` holds the balanced accuracy of each template alone."""

    name: str
    classes: tuple[str, ...]
    rows: int
    balanced_accuracy: Interval
    accuracy: Interval
    recalls: dict[str, float]
    confusion: list[list[int]]
    templates: dict[str, float]
    notes: tuple[str, ...]

    @property
    def chance(self) -> float:
        return 1 / len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `confusion` is true by predicted, in the order of `classes`."""
        return asdict(self) | {"chance": self.chance}

    def to_frame(self) -> pd.DataFrame:
        """One line a template, and one of all together."""
        import pandas as pd

        lines = [{"template": "all", "balanced_accuracy": self.balanced_accuracy.mean}]
        lines += [{"template": key, "balanced_accuracy": value} for key, value in self.templates.items()]
        return pd.DataFrame(lines)


def zero_shot(
    rows: Labelled,
    encoder: PatchEncoder,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
    templates: Sequence[str] = TEMPLATES,
    draws: int = 1000,
    seed: int = 0,
) -> ZeroShot:
    """Classify labelled rows of the encoder's own space by words.

    `names` gives classes other names than their labels (`{"lung_aca": ["adenocarcinoma of the lung"]}`). Raises
    QueryError where the encoder has no `encode_text`, UsageError for templates without a place for the class, names
    of a class that is not there, text vectors that do not fit the features.
    """
    encode = check_reads_text(encoder)
    classes, targets = rows.classes, rows.targets()
    called = _names(classes, names)
    bad = [each for each in templates if each.count("{}") != 1]
    if bad or not templates:
        raise UsageError(
            f"{bad[0]!r} is no template" if bad else "there are no templates",
            remedy="Write {} once, where the class's name stands.",
        )
    texts = [template.replace("{}", name) for template in templates for group in called for name in group]
    vectors = _unit(np.asarray(encode(texts), np.float64), len(texts), rows)
    patches = _lengths_one(rows.features.astype(np.float64))
    cosines = np.empty((len(templates), len(rows), len(classes)))
    place = 0
    for number in range(len(templates)):
        for of, group in enumerate(called):
            cosines[number, :, of] = (patches @ vectors[place : place + len(group)].T).mean(axis=1)
            place += len(group)
    groups = owners(rows.groups)

    def told(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = scores.argmax(axis=1).astype(np.int64)
        return found

    said = told(cosines.mean(axis=0))
    found = tally([said == targets], [targets], [groups], len(classes))
    balanced, accuracy = found.intervals(draws=draws, seed=seed)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (targets, said), 1)
    alone = [tally([told(each) == targets], [targets], [groups], len(classes)) for each in cosines]
    return ZeroShot(
        rows.name,
        classes,
        len(rows),
        balanced,
        accuracy,
        dict(zip(classes, found.recalls().tolist(), strict=True)),
        confusion.tolist(),
        {key: float(each.each_run()[0]) for key, each in zip(templates, alone, strict=True)},
        rows.notes,
    )


def check_reads_text(encoder: PatchEncoder) -> Callable[[list[str]], npt.ArrayLike]:
    """The encoder's `encode_text`, n texts to (n, D); raises QueryError where it has none."""
    encode: Callable[[list[str]], npt.ArrayLike] | None = getattr(encoder, "encode_text", None)
    if encode is None:
        raise QueryError(
            f"the encoder {encoder.spec.name} reads images alone: it cannot classify by words",
            remedy="Use an encoder of images and text (a CONCH or PLIP, registered with an `encode_text` method), or "
            "probe it with a few labels: `slidelake tune-eval few-shot`.",
        )
    return encode


def text_side(store: FeatureStore, space: str) -> PatchEncoder:
    """The encoder that made a space, where it reads text too; raises QueryError where it does not."""
    from slidelake.index.space_encoder import space_encoder

    encoder = space_encoder(store, space)
    check_reads_text(encoder)
    return encoder


def _names(classes: Sequence[str], names: Mapping[str, Sequence[str]] | None) -> list[list[str]]:
    given = dict(names or {})
    unknown = sorted(set(given) - set(classes))
    if unknown:
        raise UsageError(
            f"there is no class {', '.join(map(repr, unknown))} to be named",
            remedy=f"The classes: {', '.join(classes)}.",
        )
    found = [list(given.get(each, (each.replace("_", " "),))) for each in classes]
    if not all(found) or any(not name.strip() for group in found for name in group):
        raise UsageError("a class has no name", remedy="Give each at least one, in words.")
    return found


def _unit(vectors: npt.NDArray[np.float64], count: int, rows: Labelled) -> npt.NDArray[np.float64]:
    if vectors.shape != (count, rows.features.shape[1]) or not np.isfinite(vectors).all():
        raise UsageError(
            f"the encoder made text vectors of shape {vectors.shape} for {count} texts; the features of {rows.name} "
            f"have {rows.features.shape[1]} dimensions",
            remedy="Use the encoder that made the features.",
        )
    return _lengths_one(vectors)


def _lengths_one(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1.0)
    return unit
