"""Labelled rows made by hand for the probes' tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slidelake.index.probing import Labelled


def labelled(
    features: npt.NDArray[np.floating],
    labels: Sequence[str],
    *,
    groups: Sequence[str] = (),
    slides: Sequence[str] = (),
    centres: Sequence[str] = (),
) -> Labelled:
    """Rows with what is named; what is not is unknown."""
    nobody = [""] * len(labels)
    return Labelled(
        "toy",
        np.asarray(features, np.float32),
        np.array(labels, np.str_),
        np.array(groups or nobody, np.str_),
        np.array(slides or nobody, np.str_),
        np.array(centres or nobody, np.str_),
    )


def clouds(
    *, patients: int = 12, rows: int = 10, classes: int = 3, dim: int = 8, apart: float = 3.0, seed: int = 0
) -> Labelled:
    """A cloud a class, with rows of every class from every patient."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, dim)) * apart / np.sqrt(dim)
    labels = [n % classes for _ in range(patients) for n in range(rows)]
    groups = [f"P{p}" for p in range(patients) for _ in range(rows)]
    features = centres[labels] + rng.normal(size=(len(labels), dim)) * 0.7
    return labelled(features, [f"class {n}" for n in labels], groups=groups)
