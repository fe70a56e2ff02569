"""The conformance suite of trainable slide encoders: subclass it in a test file, and one is held to the contract.

    class TestMine(SlideModelTests, LearnsPlantedRows):
        name = "my-model"

Needs pytest, as only tests import it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from slidelake.encoders.slide.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from slidelake.encoders.slide.model import TASKS, Bags, SlideModel, SlideOutput
from slidelake.encoders.slide.registry import create_slide_model, slide_model_names
from slidelake.encoders.slide.testing_bags import LENGTHS, make_bags, one_bag, planted_bags, take_rows
from slidelake.errors import UsageError
from slidelake.kernels import attention_weights

__all__ = ["LearnsPlantedRows", "SlideModelTests"]


class SlideModelTests:
    """What every trainable slide encoder keeps to; override what is below to say which one, and how it is made.

    `tolerance` is relative to the largest value: float32 sums in another order. `still` names parameters (by the
    end of their names) that have a gradient of 0: a softmax does not feel the bias of its scores. `order_matters`:
    the order of rows within a bag is part of what the model sees.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    dim: ClassVar[int] = 24
    outputs: ClassVar[int] = 3
    tolerance: ClassVar[float] = 2e-5
    still: ClassVar[tuple[str, ...]] = ("score.bias",)
    order_matters: ClassVar[bool] = False

    def make_model(self, **options: Any) -> SlideModel:
        """A new model in evaluation mode, the same weights every time."""
        torch.manual_seed(0)
        return create_slide_model(
            self.name, dim=self.dim, outputs=self.outputs, **{**self.options, **options}
        ).eval()

    def make_bags(self, lengths: Sequence[int] = LENGTHS, seed: int = 0) -> Bags:
        """Bags to encode."""
        return make_bags(lengths, dim=self.dim, seed=seed)

    def make_targets(self, model: SlideModel, count: int) -> Tensor:
        """Targets of a kind that the model takes: classes where it can."""
        if "classification" in model.tasks:
            return torch.arange(count) % self.outputs
        if "regression" in model.tasks:
            return torch.linspace(-1, 1, count * self.outputs).reshape(count, self.outputs)
        time, event = torch.arange(1.0, count + 1), torch.arange(count) % 2
        interval = torch.arange(count) % self.outputs
        return torch.stack([time, event.float(), interval.float()], 1)

    def loss(self, output: SlideOutput, targets: Tensor) -> Tensor:
        """A loss that feels every logit, and the model's own terms."""
        own = [F.cross_entropy(output.logits, targets)] if targets.dtype == torch.int64 else []
        return torch.stack([output.logits.square().mean(), *own, *output.losses.values()]).sum()

    def assert_near(self, found: Tensor | None, wanted: Tensor | None) -> None:
        if found is None or wanted is None:
            assert found is wanted
            return
        assert found.shape == wanted.shape
        finite = wanted.isfinite()
        assert torch.equal(finite, found.isfinite())
        assert torch.equal(found[~finite], wanted[~finite])
        size = wanted[finite].abs().max().item() if finite.any() else 0.0
        assert (found[finite] - wanted[finite]).abs().le(self.tolerance * max(size, 1e-3)).all()

    def assert_same_outputs(self, found: SlideOutput, wanted: SlideOutput) -> None:
        self.assert_near(found.logits, wanted.logits)
        self.assert_near(found.embedding, wanted.embedding)
        self.assert_near(found.scores, wanted.scores)
        self.assert_near(found.lse, wanted.lse)

    # What comes out

    @torch.no_grad()
    def test_shapes_and_dtypes_are_those_of_the_contract(self) -> None:
        bags = self.make_bags()
        made = self.make_model()(bags)
        assert made.logits.shape == (len(bags), self.outputs)
        assert made.embedding.ndim == 3
        assert len(made.embedding) == len(bags)
        assert made.logits.dtype == made.embedding.dtype == torch.float32
        assert made.logits.isfinite().all()
        assert made.embedding.isfinite().all()
        assert dict(made.losses) == {}
        assert (made.scores is None) == (made.lse is None)

    @torch.no_grad()
    def test_attention_sums_to_one_over_a_bag(self) -> None:
        bags = self.make_bags()
        made = self.make_model()(bags)
        if made.scores is None or made.lse is None:
            return  # a slide encoder may have none
        assert made.scores.shape == (made.lse.shape[1], len(bags.features))
        assert made.lse.shape[0] == len(bags)
        assert made.scores.dtype == made.lse.dtype == torch.float32
        attention = attention_weights(made.scores, made.lse, bags.cu_seqlens)
        for start, stop in pairwise(bags.cu_seqlens.tolist()):
            total = attention[:, start:stop].sum(1)
            torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-4)

    @torch.no_grad()
    def test_evaluation_takes_no_chance(self) -> None:
        model, bags = self.make_model(), self.make_bags()
        first = model(bags)
        before = torch.get_rng_state()
        again = model(bags)
        assert torch.equal(before, torch.get_rng_state())
        for one, other in zip(first[:4], again[:4], strict=True):
            assert (one is None) == (other is None)
            if isinstance(one, Tensor) and isinstance(other, Tensor):
                assert torch.equal(one, other)
        assert torch.equal(first.logits, model(bags, self.make_targets(model, len(bags))).logits)
        assert dict(model(bags, self.make_targets(model, len(bags))).losses) == {}

    # Packed bags

    @torch.no_grad()
    def test_a_packed_batch_equals_its_bags_alone(self) -> None:
        model, bags = self.make_model(), self.make_bags()
        together = model(bags)
        for number in range(len(bags)):
            alone = model(one_bag(bags, number))
            rows = slice(*bags.cu_seqlens[number : number + 2].tolist())
            scores = together.scores[:, rows] if together.scores is not None else None
            lse = together.lse[number : number + 1] if together.lse is not None else None
            here = slice(number, number + 1)
            self.assert_same_outputs(
                alone, SlideOutput(together.logits[here], together.embedding[here], scores, lse, {})
            )

    @torch.no_grad()
    def test_the_order_of_rows_does_not_matter(self) -> None:
        model, bags = self.make_model(), self.make_bags()
        if self.order_matters:
            return
        assert bags.slide_seqlens is not None
        generator = torch.Generator().manual_seed(1)
        parts = [
            start + torch.randperm(stop - start, generator=generator)
            for start, stop in pairwise(bags.slide_seqlens.tolist())
        ]
        order = torch.cat(parts)
        wanted, found = model(bags), model(take_rows(bags, order))
        scores = wanted.scores[:, order] if wanted.scores is not None else None
        self.assert_same_outputs(found, wanted._replace(scores=scores))

    @torch.no_grad()
    def test_left_out_rows_are_as_if_absent_whatever_they_hold(self) -> None:
        model, bags = self.make_model(), self.make_bags()
        mask = torch.arange(len(bags.features)) % 3 > 0
        kept = mask.nonzero()[:, 0]
        mask_all = replace(bags, mask=torch.ones_like(mask))
        self.assert_same_outputs(model(mask_all), model(bags))
        poisoned = bags.features.clone()
        poisoned[~mask] = torch.nan
        found = model(replace(bags, features=poisoned, mask=mask))
        wanted = model(take_rows(bags, kept))
        if found.scores is not None:
            assert found.scores[:, ~mask].isneginf().all()
            found = found._replace(scores=found.scores[:, kept])
        self.assert_same_outputs(found, wanted)

    def test_left_out_rows_have_no_part_in_training(self) -> None:
        bags = self.make_bags()
        mask = torch.arange(len(bags.features)) % 3 > 0
        gradients = []
        for filling in (0.0, torch.nan):
            model = self.make_model().train()
            features = bags.features.clone()
            features[~mask] = filling
            targets = self.make_targets(model, len(bags))
            torch.manual_seed(3)
            torch.autograd.backward(
                self.loss(model(replace(bags, features=features, mask=mask), targets), targets)
            )
            gradients.append([p.grad for p in model.parameters() if p.grad is not None])
        assert gradients[0]
        for one, other in zip(*gradients, strict=True):
            assert one.isfinite().all()
            assert torch.equal(one, other)

    def test_empty_bags_have_finite_logits_and_gradients(self) -> None:
        model = self.make_model()
        bags = self.make_bags((5, 0, 9, 0))
        masked = replace(
            self.make_bags((5, 4, 9, 0)), mask=torch.tensor([True] * 5 + [False] * 4 + [True] * 9)
        )
        with torch.no_grad():
            made = model(bags)
            assert made.logits.isfinite().all()
            assert made.embedding.isfinite().all()
            assert made.lse is None or made.lse[[1, 3]].isneginf().all()
            self.assert_near(model(masked).logits[1:2], made.logits[1:2])
        model.train()
        for each in (bags, masked):
            model.zero_grad()
            targets = self.make_targets(model, len(each))
            torch.autograd.backward(self.loss(model(each, targets), targets))
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    @pytest.mark.parametrize("lengths", [(1,), (0,), (2, 1, 1)], ids=str)
    def test_bags_of_a_few_rows(self, lengths: tuple[int, ...]) -> None:
        model = self.make_model().train()
        bags = self.make_bags(lengths)
        targets = self.make_targets(model, len(bags))
        made = model(bags, targets)
        assert made.logits.isfinite().all()
        torch.autograd.backward(self.loss(made, targets))
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_a_long_bag(self) -> None:
        model = self.make_model().train()
        bags = self.make_bags((20_000,))
        targets = self.make_targets(model, 1)
        made = model(bags, targets)
        assert made.logits.isfinite().all()
        torch.autograd.backward(self.loss(made, targets))
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    @torch.no_grad()
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=lambda each: str(each)[6:])
    def test_half_features_with_full_parameters(self, dtype: torch.dtype) -> None:
        model, bags = self.make_model(), self.make_bags()
        half = replace(bags, features=bags.features.to(dtype))
        self.assert_same_outputs(model(half), model(replace(half, features=half.features.float())))

    # Training

    def test_mixed_precision_keeps_outputs_in_float32(self) -> None:
        model, bags = self.make_model(), self.make_bags()
        targets = self.make_targets(model, len(bags))
        with torch.no_grad():
            wanted = model(bags).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                found = model(bags)
            trained = model.train()(bags, targets)
            loss = self.loss(trained, targets)
        for each in (*found[:4], *trained[:4]):
            assert each is None or each.dtype == torch.float32
        assert (found.logits - wanted).abs().max() <= 0.1 * wanted.abs().max()
        torch.autograd.backward(loss)
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

    def test_gradients_reach_every_parameter(self) -> None:
        model, bags = self.make_model().train(), self.make_bags()
        targets = self.make_targets(model, len(bags))
        made = model(bags, targets)
        for term in made.losses.values():
            assert term.shape == ()
            assert term.isfinite()
        torch.autograd.backward(self.loss(made, targets))
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                assert parameter.grad is None
                continue
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert (parameter.grad != 0).any() or name.endswith(self.still), name

    def test_torch_seed_decides_all_chance(self) -> None:
        bags = self.make_bags()
        runs = []
        for _ in range(2):
            model = self.make_model().train()
            targets = self.make_targets(model, len(bags))
            torch.manual_seed(5)
            loss = self.loss(model(bags, targets), targets)
            torch.autograd.backward(loss)
            runs.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
        for one, other in zip(*runs, strict=True):
            assert torch.equal(one, other)

    # Making, saving, refusing

    def test_a_checkpoint_makes_the_same_model(self, tmp_path: Path) -> None:
        model, bags = self.make_model(), self.make_bags()
        checkpoint = Checkpoint(model, "256px-0.5mpp/mine.0123abcd", {"kind": sorted(model.tasks)[0]})
        files = [tmp_path / "one.safetensors", tmp_path / "other.safetensors"]
        for file in files:
            save_checkpoint(file, checkpoint)
        assert files[0].read_bytes() == files[1].read_bytes()
        torch.manual_seed(99)
        loaded = load_checkpoint(files[0])
        assert loaded.model.options == model.options
        assert not loaded.model.training
        state = loaded.model.state_dict()
        assert list(state) == list(model.state_dict())
        for name, value in model.state_dict().items():
            assert torch.equal(state[name], value), name
        with torch.no_grad():
            assert torch.equal(loaded.model(bags).logits, model(bags).logits)

    def test_it_is_known_by_name_and_keeps_its_options(self) -> None:
        model = self.make_model()
        assert model.name == self.name
        assert self.name in slide_model_names()
        assert (model.dim, model.outputs) == (self.dim, self.outputs)
        assert {**model.options, **self.options} == model.options

    def test_wrong_options_are_refused_by_name(self) -> None:
        with pytest.raises(UsageError, match="no option 'no_such_option'"):
            self.make_model(no_such_option=1)
        for option in self.make_model().options:
            with pytest.raises(UsageError, match=option):
                self.make_model(**{option: object()})

    def test_bags_that_do_not_fit_are_refused(self) -> None:
        model, bags = self.make_model(), self.make_bags()
        wide = torch.zeros(len(bags.features), self.dim + 1)
        with pytest.raises(UsageError, match=f"takes {self.dim} features a patch"):
            model(replace(bags, features=wide))
        with pytest.raises(UsageError, match="float64"):
            model(replace(bags, features=bags.features.double()))
        with pytest.raises(UsageError, match="mask"):
            model(replace(bags, mask=torch.ones(3, dtype=torch.bool)))
        with pytest.raises(UsageError, match="cu_seqlens"):
            model(replace(bags, cu_seqlens=bags.cu_seqlens[:-1]))
        if model.needs_coords:
            with pytest.raises(UsageError, match="coords"):
                model(replace(bags, coords=None))

    def test_it_says_what_it_can_be_trained_on(self) -> None:
        model = self.make_model()
        assert model.tasks
        assert model.tasks <= TASKS
        for kind in sorted(TASKS):
            if kind in model.tasks:
                model.check_task(kind)
            else:
                with pytest.raises(UsageError, match=f"{self.name}.*{kind}"):
                    model.check_task(kind)


class LearnsPlantedRows:
    """That a slide encoder learns: the class of a bag is told by 1 % of its rows (mix it into SlideModelTests).

    Override `learning` where the model needs other options, `shift` where its pooling dilutes the rows,
    `attention_share` (of a bag's attention that planted rows get: 0 for models without attention).
    """

    name: ClassVar[str]
    dim: ClassVar[int]
    learning: ClassVar[Mapping[str, Any]] = {}
    rate: ClassVar[float] = 0.01
    steps: ClassVar[int] = 60
    shift: ClassVar[float] = 8.0
    accuracy: ClassVar[float] = 0.9
    attention_share: ClassVar[float] = 0.5

    def test_it_finds_what_was_planted(self) -> None:
        torch.manual_seed(0)
        model = create_slide_model(self.name, dim=self.dim, outputs=2, **self.learning).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.rate)
        for step in range(self.steps):
            # New bags each step: what is tested is the model, not how little it takes to learn 30 bags by heart.
            bags, classes, _ = planted_bags(32, 200, dim=self.dim, shift=self.shift, seed=1 + step)
            made = model(bags, classes)
            loss = F.cross_entropy(made.logits, classes) + sum(made.losses.values())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            model.after_step()
        held_out, classes, planted = planted_bags(64, 200, dim=self.dim, shift=self.shift, seed=0)
        with torch.no_grad():
            made = model.eval()(held_out)
        found = (made.logits.argmax(1) == classes).float().mean().item()
        assert found >= self.accuracy
        if made.scores is None or made.lse is None:
            assert self.attention_share == 0
            return
        attention = attention_weights(made.scores, made.lse, held_out.cu_seqlens)
        # Of the bags with planted rows: the branch that looks at them most.
        on_planted = (attention * planted).sum(1).max().item() / int((classes == 1).sum())
        assert on_planted >= self.attention_share
