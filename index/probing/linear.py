"""Linear classifiers on frozen features, one for each draw of the shots, all trained at once.

    logits = ((x − mean) / scale) · W + b,  AdamW on the mean cross-entropy of batches

The draws share no weight, and the optimiser works number by number: what comes out is what each alone would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Linear", "fit_linear"]

Floats = npt.NDArray[np.float32]
#: Rows of a step; fewer shots are one batch.
BATCH = 32
#: Of AdamW, as torch has it.
WEIGHT_DECAY = 0.01
_LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class Linear:
    """S classifiers: `weights` (S, D, C), `bias` (S, C), and the `mean` and `scale` (S, D) taken off before."""

    weights: Floats
    bias: Floats
    mean: Floats
    scale: Floats

    def predict(self, draw: int, features: Floats) -> npt.NDArray[np.int64]:
        """(n, D) to (n,) classes by the classifier of one draw; of equal logits the lower class."""
        logits = ((features - self.mean[draw]) / self.scale[draw]) @ self.weights[draw] + self.bias[draw]
        found: npt.NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
        return found


def fit_linear(
    features: Floats,
    targets: npt.NDArray[np.int64],
    shots: npt.NDArray[np.int64],
    pools: list[npt.NDArray[np.int64]],
    *,
    classes: int,
    standardise: bool = False,
    epochs: int = 20,
    lr: float = 1e-2,
    seed: int = 0,
) -> Linear:
    """Train on `shots` (S, n), row numbers into (N, D) features: one classifier a line.

    With `standardise` each dimension is centred and scaled by the rows of the draw's pool, whose labels are not
    looked at: two shots say little of a mean. Weights begin at 0; the order of rows is the seed's.
    """
    import torch

    draws, count = shots.shape
    dim = features.shape[1]
    mean, scale = np.zeros((draws, dim), np.float32), np.ones((draws, dim), np.float32)
    if standardise:
        for draw, pool in enumerate(pools):
            known = features[pool].astype(np.float64)
            mean[draw] = known.mean(axis=0)
            spread = known.std(axis=0)
            scale[draw] = np.where(spread > _LEAST_SCALE, spread, 1.0)
    whole, named = torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(targets)
    centre, width = torch.from_numpy(mean)[:, None], torch.from_numpy(scale)[:, None]
    weights = torch.zeros((draws, dim, classes), requires_grad=True)
    bias = torch.zeros((draws, 1, classes), requires_grad=True)
    optimiser = torch.optim.AdamW([weights, bias], lr=lr, weight_decay=WEIGHT_DECAY)
    generators = [np.random.default_rng([seed, draw]) for draw in range(draws)]
    for _ in range(epochs):
        order = np.stack([generator.permutation(count) for generator in generators])
        for start in range(0, count, BATCH):
            places = np.take_along_axis(shots, order[:, start : start + BATCH], axis=1)
            rows = (whole[places] - centre) / width
            logits = torch.baddbmm(bias.expand(-1, rows.shape[1], -1), rows, weights)
            # Summed over the draws, so that each gets the gradient of its own mean.
            loss = (
                torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), named[places].flatten(), reduction="sum"
                )
                / rows.shape[1]
            )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return Linear(weights.detach().numpy(), bias.detach().numpy()[:, 0], mean, scale)
