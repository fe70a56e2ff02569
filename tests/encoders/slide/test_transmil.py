"""TransMIL: the contract, the Nyström approximation against its formula, and memory that is linear in a bag's rows."""

import math
from itertools import pairwise
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from slidelake.encoders.slide import create_slide_model
from slidelake.encoders.slide.testing import SlideModelTests
from slidelake.encoders.slide.testing_bags import make_bags, planted_bags
from slidelake.encoders.slide.transmil import PyramidPositionEncoding
from slidelake.encoders.slide.transmil_attention import NystromAttention, iterative_pinv
from slidelake.errors import UsageError
from slidelake.kernels import attention_weights
from tests.encoders.slide.largest_tensor import LargestTensor

SMALL = {"hidden": 16, "heads": 2, "landmarks": 32, "kernel": 5}


class TestTransMIL(SlideModelTests):
    name = "transmil"
    options: ClassVar = SMALL
    order_matters = True


class TestExactClassAttention(SlideModelTests):
    name = "transmil"
    options: ClassVar = {**SMALL, "exact_class_attention": True}
    order_matters = True


@pytest.mark.parametrize("exact", [False, True])
def test_it_learns_from_new_bags_what_was_planted(exact: bool) -> None:
    """New bags in each step: a transformer learns a few bags of noise by heart."""
    torch.manual_seed(0)
    model = create_slide_model(
        "transmil", dim=12, outputs=2, **{**SMALL, "landmarks": 16}, exact_class_attention=exact
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for step in range(40):
        bags, classes, _ = planted_bags(8, 60, dim=12, share=0.1, seed=100 + step)
        loss = F.cross_entropy(model(bags).logits, classes)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    bags, classes, planted = planted_bags(48, 60, dim=12, share=0.1, seed=2)
    with torch.no_grad():
        made = model.eval()(bags)
    assert (made.logits.argmax(1) == classes).float().mean() >= 0.9
    if made.scores is not None and made.lse is not None:
        attention = attention_weights(made.scores, made.lse, bags.cu_seqlens)
        assert (attention * planted).sum() / 24 > 0.2  # by chance 0.1


def attention(landmarks: int, iterations: int = 6, dim: int = 16) -> NystromAttention:
    torch.manual_seed(1)
    made = NystromAttention(dim, heads=2, landmarks=landmarks, iterations=iterations, kernel=5, dropout=0.0)
    return made.double()


def by_formula(layer: NystromAttention, x: Tensor) -> Tensor:
    """The same, each matrix written out."""
    heads = layer.heads
    q, k, v = (part.unflatten(1, (heads, -1)).transpose(0, 1) for part in layer.qkv(x).chunk(3, 1))
    scale = 1 / math.sqrt(q.shape[-1])
    borders = [i * len(x) // layer.landmarks for i in range(layer.landmarks + 1)]
    sizes = [stop - start for start, stop in pairwise(borders)]
    q_mean, k_mean = (torch.stack([run.mean(1) for run in part.split(sizes, dim=1)], 1) for part in (q, k))
    first = (q @ k_mean.mT * scale).softmax(-1)
    middle = (q_mean @ k_mean.mT * scale).softmax(-1)
    last = (q_mean @ k.mT * scale).softmax(-1)
    attended = first @ torch.linalg.pinv(middle) @ last @ v
    reach = layer.residual.weight.shape[2] // 2
    padded = F.pad(v, (0, 0, reach, reach))
    for head in range(heads):
        for tap, weight in enumerate(layer.residual.weight[head, 0, :, 0]):
            attended[head] = attended[head] + weight * padded[head, tap : tap + len(x)]
    return layer.out(attended.transpose(0, 1).flatten(1))


def test_nystrom_attention_is_its_formula() -> None:
    """77 rows on 8 landmarks: runs of 9 and 10."""
    layer = attention(8, iterations=30)
    x = torch.randn(77, 16, dtype=torch.float64)
    wanted = by_formula(layer, x)
    # The pseudo-inverse is taken in 32 bits.
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=2e-3)
    torch.testing.assert_close(layer.first_row(x), layer(x)[:1])


def test_as_many_landmarks_as_rows_are_exact_attention() -> None:
    exact, x = attention(77), torch.randn(77, 16, dtype=torch.float64)
    whole = exact(x)
    torch.testing.assert_close(exact.first_row(x), whole[:1])
    row, log_attention = exact.first_row_exactly(x)
    torch.testing.assert_close(row, whole[:1])
    torch.testing.assert_close(log_attention.exp().sum(), torch.ones(()))


@pytest.mark.parametrize("beside", [1.0, 100.0])
def test_the_pseudo_inverse_of_a_matrix_does_not_depend_on_those_beside_it(beside: float) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(12, 12, dtype=torch.float64).softmax(-1)
    both = torch.stack([matrix, beside * matrix])
    found = iterative_pinv(both, 40)
    torch.testing.assert_close(found[0], torch.linalg.pinv(matrix), rtol=1e-6, atol=1e-6)
    assert torch.equal(found[0], iterative_pinv(matrix[None], 40)[0])


def test_one_convolution_is_the_sum_of_three() -> None:
    torch.manual_seed(0)
    encode = PyramidPositionEncoding(6)
    patches = torch.randn(25, 6)
    square = patches.T.reshape(1, 6, 5, 5)
    wanted = square + sum(F.conv2d(square, c.weight, c.bias, padding=c.weight.shape[-1] // 2, groups=6)
                          for c in (encode.seven, encode.five, encode.three))  # fmt: skip
    torch.testing.assert_close(encode(patches, 5), wanted[0].flatten(1).T)


@torch.no_grad()
def test_the_square_repeats_the_first_rows() -> None:
    """5 rows on a square of 9: the same as a bag of 9 whose last rows are its first ones."""
    torch.manual_seed(0)
    model = create_slide_model(
        "transmil", dim=24, outputs=2, hidden=16, heads=2, exact_class_attention=True
    ).eval()
    short = make_bags((5,))
    long = make_bags((9,))
    long.features[:5], long.features[5:] = short.features, short.features[:4]
    one, other = model(short), model(long)
    torch.testing.assert_close(one.logits, other.logits)
    assert one.scores is not None
    assert other.scores is not None
    twice = torch.logaddexp(other.scores[0, :4], other.scores[0, 5:])
    torch.testing.assert_close(one.scores[0], torch.cat([twice, other.scores[0, 4:5]]))


@pytest.mark.parametrize("exact", [False, True])
def test_memory_of_a_bag_of_50_000_rows(exact: bool) -> None:
    """No tensor, forward or backward, is larger than queries, keys and values together: 3 · hidden numbers a row. A
    single (heads, n, landmarks) matrix, of which written-out attention keeps four, would have 21 times as many."""
    model = create_slide_model(
        "transmil", dim=8, outputs=2, hidden=16, heads=4, landmarks=256, exact_class_attention=exact
    )
    bags = make_bags((50_000,), dim=8)
    side = math.isqrt(50_000 - 1) + 1
    with LargestTensor() as watched:
        torch.autograd.backward(model(bags).logits.sum())
    assert watched.bytes <= (side * side + 1) * 3 * 16 * 4
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_options_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="transmil: hidden 30 is not a multiple of heads 4"):
        create_slide_model("transmil", dim=8, outputs=2, hidden=30, heads=4)
    with pytest.raises(UsageError, match="transmil: kernel 32 is even"):
        create_slide_model("transmil", dim=8, outputs=2, kernel=32)
