"""Every projector gives a fixed number of tokens, whatever a bag's size and the order of its rows."""

import pytest
import torch

from slidelake.errors import UnknownNameError, UsageError
from slidelake.services.tuning.model import Projector, create_projector, projector_names
from slidelake.services.tuning.model.projectors.regions import cells_of

TOKENS = 5


@pytest.fixture(params=projector_names())
def projector(request: pytest.FixtureRequest) -> Projector:
    torch.manual_seed(0)
    return create_projector(request.param, dim=6, width=16, tokens=TOKENS)


def packed(*sizes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bags of these sizes, each on a square of places."""
    torch.manual_seed(1)
    coords = torch.cat([torch.stack([torch.arange(n) % 4, torch.arange(n) // 4], 1) for n in sizes]) * 256
    borders = torch.tensor([0, *sizes]).cumsum(0)
    return torch.randn(sum(sizes), 6), borders, coords


def test_shape_and_gradient(projector: Projector) -> None:
    made = projector(*packed(3, 16, 40))
    assert made.shape == (3, TOKENS, 16)
    assert made.dtype == torch.float32
    made.square().sum().backward()
    # The last bias of attention's scores moves all rows of a bag alike, so a softmax takes it out.
    still = {name for name, each in projector.named_parameters() if each.grad is None}
    assert still == set()
    assert (
        sum(float(each.grad.abs().sum()) > 0 for each in projector.parameters() if each.grad is not None) >= 3
    )


def test_neither_the_order_of_rows_nor_the_bags_beside_matter(projector: Projector) -> None:
    features, borders, coords = packed(16, 9)
    both = projector(features, borders, coords)
    order = torch.randperm(16)
    alone = projector(features[:16][order], torch.tensor([0, 16]), coords[:16][order])
    torch.testing.assert_close(alone[0], both[0], rtol=1e-4, atol=1e-5)


def test_a_bag_twice_as_large_gives_the_same_tokens(projector: Projector) -> None:
    """Scale: each row twice, at the same places, is the same slide with more patches."""
    features, borders, coords = packed(12)
    once = projector(features, borders, coords)
    twice = projector(features.repeat(2, 1), borders * 2, coords.repeat(2, 1))
    torch.testing.assert_close(once, twice, rtol=1e-4, atol=1e-5)


def test_statistics_and_size_of_the_embeddings(projector: Projector) -> None:
    features, borders, coords = packed(16, 9)
    projector.match(0.02)
    before = projector(features, borders, coords)
    assert before.square().mean().sqrt().item() == pytest.approx(0.02, rel=0.01)
    projector.standardise(torch.full((6,), 5.0), torch.tensor([2.0] * 5 + [0.0]))
    moved = torch.cat([features[:, :5] * 2 + 5, features[:, 5:] + 5], 1)
    torch.testing.assert_close(projector(moved, borders, coords), before, rtol=1e-4, atol=1e-5)


def test_features_of_16_bits(projector: Projector) -> None:
    features, borders, coords = packed(16)
    full = projector(features.half().float(), borders, coords)
    assert torch.equal(projector(features.half(), borders, coords), full)


def test_regions_are_shares_of_the_tissue() -> None:
    """A slide ten times as large, moved, has the same cells; corners fall where they should."""
    coords = torch.tensor([[0, 0], [300, 0], [0, 300], [300, 300]])
    borders = torch.tensor([0, 4, 8])
    both = torch.cat([coords, coords * 10 + 7000])
    assert cells_of(both, borders, 2).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert cells_of(torch.tensor([[5, 5]]), torch.tensor([0, 1]), 3).tolist() == [0]


def test_regions_tell_where_something_lies() -> None:
    """The same rows at other places: the overview stays, the regions change places."""
    torch.manual_seed(0)
    projector = create_projector("regions", dim=6, width=16, tokens=5)
    features, borders, coords = packed(16)
    there = projector(features, borders, coords)
    mirrored = torch.stack([768 - coords[:, 0], coords[:, 1]], 1)
    moved = projector(features, borders, mirrored)
    torch.testing.assert_close(there[:, 0], moved[:, 0])
    assert not torch.allclose(there[:, 1], moved[:, 1])


def test_what_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match=r"no projector 'atention'.*Did you mean attention"):
        create_projector("atention", dim=6, width=16, tokens=4)
    with pytest.raises(UsageError, match=r"no option 'branches'.*It takes: hidden"):
        create_projector("attention", dim=6, width=16, tokens=4, branches=2)
    with pytest.raises(UsageError, match=r"tokens is 0"):
        create_projector("mean", dim=6, width=16, tokens=0)
    with pytest.raises(UsageError, match=r"cannot have 4 tokens.*2, 5, 10"):
        create_projector("regions", dim=6, width=16, tokens=4)
    with pytest.raises(UsageError, match=r"heads 3"):
        create_projector("resampler", dim=6, width=16, tokens=4, heads=3)
    with pytest.raises(UsageError, match="given no coordinates"):
        create_projector("regions", dim=6, width=16, tokens=5)(*packed(4)[:2])
