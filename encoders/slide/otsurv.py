"""OTSurv (Ren et al. 2025, arXiv 2506.20741): survival by optimal transport, after its description.

Patches are carried to learnt prototypes by unbalanced optimal transport under two constraints: prototypes may share the
mass unevenly (long tail), and the mass carried at all begins small and grows while training goes on (uncertainty: only
patches that lie near a prototype count at first). Published settings: width 256, 16 prototypes, dropout 0.25, ε 0.1,
λ 1, mass from 0.1 to 1 over ten epochs. Of this file's own making: the solver and its exact gradients
(otsurv_transport.py), and a ramp in steps.
"""

import math

import torch
from torch import Tensor, nn

from slidelake.encoders.slide.kept_rows import kept_rows, scores_of_all
from slidelake.encoders.slide.layers import Projection
from slidelake.encoders.slide.model import Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.options import number, share, whole
from slidelake.encoders.slide.otsurv_transport import transport_plan
from slidelake.kernels import unpack_bags


class OTSurv(SlideModel):
    """A survival head: one log-risk (Cox), or a logit a time interval, from what prototypes receive of a bag.

    scores (prototypes, T) are log transported mass, lse (B, prototypes) the log of what each prototype receives: the
    attention is the share of a prototype's mass that comes from a row, exp(lse) the share of tissue of its kind.
    `ramp_steps` is ten epochs in the paper: give ten times the steps of yours.
    """

    tasks = frozenset({"survival"})

    steps: Tensor

    def __init__(
        self,
        dim: int,
        outputs: int,
        *,
        hidden: int = 256,
        prototypes: int = 16,
        dropout: float = 0.25,
        epsilon: float = 0.1,
        relaxation: float = 1.0,
        first_mass: float = 0.1,
        ramp_steps: int = 1000,
    ) -> None:
        super().__init__()
        self.epsilon = number("epsilon", epsilon, least=0.01)
        self.relaxation = number("relaxation", relaxation, least=0.01)
        self.first_mass = number("first_mass", first_mass, least=0.01)
        self.ramp_steps = whole("ramp_steps", ramp_steps, least=0)
        hidden, prototypes = whole("hidden", hidden), whole("prototypes", prototypes)
        self.projection = Projection(dim, hidden, dropout=share("dropout", dropout))
        self.prototypes = nn.Parameter(torch.randn(prototypes, hidden))
        self.mix = nn.Linear(prototypes, 1)
        self.head = nn.Linear(hidden, outputs)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, bags: Bags, targets: Tensor | None = None) -> SlideOutput:
        """logits (B, C), embedding (B, prototypes, hidden), scores (prototypes, T), lse (B, prototypes)."""
        kept, rows = kept_rows(bags)
        patches = self.projection(kept.features).float()
        mass = self._mass()
        with torch.autocast(patches.device.type, enabled=False):
            carried = [self._carry(bag, mass) for bag in unpack_bags(patches, kept.cu_seqlens)]
            received = torch.stack([part for part, _ in carried])
            mixed = self.mix(received.transpose(1, 2)).squeeze(-1)
            logits = self.head(mixed)
        scores = torch.cat([log_share for _, log_share in carried], dim=1)
        lse = torch.stack([log_share.logsumexp(1) for _, log_share in carried])
        return SlideOutput(logits, received, scores_of_all(scores, rows, len(bags.features)), lse, {})

    @torch.no_grad()
    def after_step(self) -> None:
        """More mass is carried after each step."""
        self.steps += 1

    def _mass(self) -> float:
        """The share of a bag's mass that is carried: from `first_mass` to 1 along exp(−5 (1 − step/steps)²)."""
        if not self.ramp_steps:
            return 1.0
        phase = 1 - min(1.0, int(self.steps) / self.ramp_steps)
        return min(1.0, self.first_mass + math.exp(-5 * phase * phase))

    def _carry(self, bag: Tensor, mass: float) -> tuple[Tensor, Tensor]:
        """What prototypes receive of a bag (n, hidden): (prototypes, hidden), and the log of each row's share of the
        mass that is carried (prototypes, n)."""
        if not len(bag):
            return bag.new_zeros(self.prototypes.shape), bag.new_zeros(len(self.prototypes), 0)
        cost = torch.cdist(_from_zero(bag), _from_zero(self.prototypes))
        cost = cost / cost.detach().max().clamp(min=torch.finfo(cost.dtype).tiny)
        plan = transport_plan(cost, mass=mass, epsilon=self.epsilon, relaxation=self.relaxation)
        log_share = plan.T - math.log(mass)
        return log_share.exp() @ bag, log_share


def _from_zero(rows: Tensor) -> Tensor:
    """Rows whose smallest value is brought to 0, as published."""
    return rows - rows.amin(1, keepdim=True)
