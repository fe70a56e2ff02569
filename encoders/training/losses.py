"""Losses of slide-level tasks, a value a bag where bags stand alone; all in float32 or what they are given.

Cox's is of bags together: each event is compared with all that were still at risk. Over which bags it is taken, the
training loop decides (step.py).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "class_weights",
    "cox_loss",
    "cross_entropy",
    "discrete_time_loss",
    "regression_loss",
    "survival_curves",
]


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """(B,) of logits (B, C) and classes (B,); a bag of class c counts weights[c] times."""
    losses = F.cross_entropy(logits, targets, reduction="none")
    return losses if weights is None else losses * weights[targets]


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """(C,) inverse shares of the classes among (n,) targets, 1 on average over these; 0 for a class not there."""
    counts = torch.bincount(targets, minlength=classes).float()
    there = counts > 0
    return torch.where(there, len(targets) / (there.sum() * counts.clamp(min=1)), 0.0)


def regression_loss(predicted: Tensor, targets: Tensor, kind: str) -> Tensor:
    """(B,) squared or Huber's error (quadratic to 1, then linear), the mean over the columns of (B, C)."""
    each = F.huber_loss if kind == "huber" else F.mse_loss
    return each(predicted, targets, reduction="none").mean(dim=1)


def cox_loss(risks: Tensor, times: Tensor, events: Tensor) -> Tensor:
    """() negative log partial likelihood an event, of log-risks (n,), times (n,) and events (n,) of 0 and 1.

    Cox 1972, with ties as Efron 1977: the m-th of d events at one time finds (m − 1) / d of their risk gone. The mean
    over events, 0 where there is none. Only bags that are compared here are ever in a risk set, so it takes
    two at least to learn anything.
    """
    order = torch.argsort(times, descending=True, stable=True)
    risks, times, happened = risks[order], times[order], events[order] > 0
    if not bool(happened.any()):
        return risks.sum() * 0
    _, group, sizes = torch.unique_consecutive(times, return_inverse=True, return_counts=True)
    # All with an equal or later time are at risk: up to the last of the tied ones.
    at_risk = torch.logcumsumexp(risks, dim=0)[sizes.cumsum(0) - 1]
    mine, risk = group[happened], risks[happened]
    # Of the whole risk at that time, the events' own share, at most 1.
    share = torch.zeros_like(at_risk).index_add(0, mine, (risk - at_risk[mine]).exp())
    count = torch.zeros_like(at_risk).index_add(0, mine, torch.ones_like(risk))
    first = torch.searchsorted(mine, mine, side="left")
    before = torch.arange(len(mine), device=risks.device) - first
    gone = share[mine] * before / count[mine]
    return (at_risk[mine] + torch.log1p(-gone) - risk).sum() / len(mine)


def discrete_time_loss(logits: Tensor, events: Tensor, intervals: Tensor) -> Tensor:
    """(B,) negative log-likelihood of logits (B, K), one an interval of time, events (B,), interval numbers (B,).

    h = σ(logit) is the hazard: the chance of the event in an interval for those who reach it (Singer and Willett
    1993). An event in interval k: h_k · Π_{j<k} (1 − h_j). Censored in it: Π_{j<k} (1 − h_j), since nobody knows of
    the rest of the interval; so censoring in the first one says nothing.
    """
    numbers = torch.arange(logits.shape[1], device=logits.device)
    survived = numbers < intervals.long()[:, None]
    here = (numbers == intervals.long()[:, None]) & (events > 0)[:, None]
    return (F.softplus(logits) * survived).sum(dim=1) + (F.softplus(-logits) * here).sum(dim=1)


def survival_curves(logits: Tensor) -> Tensor:
    """(B, K): the chance to be without event at the end of each interval, of logits (B, K)."""
    return (-F.softplus(logits)).cumsum(dim=1).exp()
