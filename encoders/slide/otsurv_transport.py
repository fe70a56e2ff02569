"""Unbalanced optimal transport of a bag's patches to prototypes, solved by Newton's method in 32 bits.

    min_Q  ⟨Q, cost⟩ − ε H(Q) + λ KL(Qᵀ1 ‖ ρ/K)    s.t.  Q 1 ≤ 1/n,  total mass ρ

Prototypes share the mass ρ, equally as far as the KL term holds them to it: a long tail may form. The rest, 1 − ρ,
falls on a sink without cost: patches far from every prototype go there first. With the sink as column K + 1, rows have
mass 1/n, the sink 1 − ρ, and the other columns the KL term (Zhang et al. 2024, "P²OT").

The rows' potentials are a softmax, so that K + 1 numbers are left to find: u with

    column(u) = (1/n) Σ_n softmax_k(u − cost_n / ε)  =  (ρ/K) exp(−u ε/λ),   of the sink  = 1 − ρ.

Matrix scaling (Sinkhorn) converges as slowly as ρ is small: 2,600 sweeps at ρ = 0.1, 12,000 at 0.02, for 1e-12. This is
the gradient of a convex function, whose Newton steps need 4 to 14, each one pass over the rows.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["transport_plan"]

#: A step changes no potential by more: far from the solution the quadratic model is not to be trusted.
_LONGEST_STEP = 2.0
_MOST_STEPS = 100
_TOLERANCE = 1e-5
#: A sink with less than 1 − this would have too little mass for 32 bits: all is carried.
_ALL = 1 - 1e-4


def transport_plan(cost: Tensor, *, mass: float, epsilon: float, relaxation: float) -> Tensor:
    """(n, K) log of the mass that each of n ≥ 1 rows gives to each prototype, `mass` = ρ in (0, 1] together.

    cost (n, K) float32, `epsilon` = ε, `relaxation` = λ. Differentiable in the cost, and exactly so: the solution's
    potentials follow from the implicit function theorem, and memory does not grow with the steps.
    """
    rows, count = cost.shape
    kernel = -cost / epsilon
    wanted = cost.new_full((count,), mass / count)
    slope = cost.new_full((count,), epsilon / relaxation)
    if mass < _ALL:
        kernel, wanted, slope = (
            F.pad(kernel, (0, 1)),
            F.pad(wanted, (0, 1), value=1 - mass),
            F.pad(slope, (0, 1)),
        )
    with torch.no_grad():
        fixed, potential = kernel.detach(), torch.zeros_like(wanted)
        for _ in range(_MOST_STEPS):
            excess, hessian = _excess(fixed, potential, wanted, slope)
            step = torch.linalg.solve(hessian, excess)
            longest = float(step.abs().max())
            potential = potential - step * min(1.0, _LONGEST_STEP / max(longest, _TOLERANCE))
            if longest < _TOLERANCE:
                break
        _, hessian = _excess(fixed, potential, wanted, slope)
    # One more Newton step, of which only the excess is differentiated: dV = −H⁻¹ d(excess), the solution's own.
    excess = (kernel + potential).softmax(1).mean(0) - wanted * (-potential * slope).exp()
    potential = potential - torch.linalg.solve(hessian, excess)
    plan: Tensor = (kernel + potential).log_softmax(1) - math.log(rows)
    return plan[:, :count]  # without the sink


def _excess(kernel: Tensor, potential: Tensor, wanted: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """What each column receives beyond what it should, and how that changes with the potentials (K', K')."""
    shares = (kernel + potential).softmax(1)
    column, due = shares.mean(0), wanted * (-potential * slope).exp()
    hessian = torch.diag(column + due * slope) - shares.T @ shares / len(shares)
    return column - due, hessian
