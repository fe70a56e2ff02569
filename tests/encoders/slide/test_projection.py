"""Linear + ReLU in blocks, against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from slidelake.encoders.slide.projection import Projection

ROWS = 2500  # more than two blocks


def both(features, mask=None, *, dropout=0.0):
    """(output, gradients) of ours and of torch's own, which multiplies a float32 copy."""
    torch.manual_seed(0)
    layer = Projection(12, 7, dropout=dropout)
    leaves = [layer.linear.weight, layer.linear.bias]
    found = []
    for own in (True, False):
        given = features.clone().requires_grad_(features.requires_grad)
        torch.manual_seed(1)
        if own:
            made = layer(given, mask)
        else:
            clean = given if mask is None else given.masked_fill(~mask[:, None], 0)
            made = F.relu(layer.linear(clean.float()))
            made = made if mask is None else made.masked_fill(~mask[:, None], 0)
            made = F.dropout(made, dropout)
        inputs = [*leaves, given] if features.requires_grad else leaves
        found.append((made, *torch.autograd.grad((made * made.detach().cos()).sum(), inputs)))
    return zip(*found, strict=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_torchs_own_in_output_and_gradients(dtype, masked):
    features = torch.randn(ROWS, 12, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    mask = torch.arange(ROWS) % 3 > 0 if masked else None
    for one, other in both(features, mask, dropout=0.25):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_left_out_rows_may_hold_anything():
    features = torch.randn(ROWS, 12)
    features[::3] = torch.nan
    mask = torch.arange(ROWS) % 3 > 0
    for one, other in both(features, mask):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_no_float32_copy_of_the_bag_is_kept():
    features = torch.randn(ROWS, 12).half()
    kept = []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made = Projection(12, 7)(features)
    assert {tensor.data_ptr() for tensor in kept if len(tensor) == ROWS} == {
        features.data_ptr(),
        made.data_ptr(),
    }


def test_autocast_decides_the_dtype():
    features = torch.randn(ROWS, 12).half()
    layer = Projection(12, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = layer(features)
    assert made.dtype == torch.bfloat16
    made.float().sum().backward()
    assert layer.linear.weight.grad.dtype == torch.float32
    torch.testing.assert_close(made.float(), layer(features), rtol=2e-2, atol=2e-2)


def test_no_rows():
    made = Projection(12, 7)(torch.zeros(0, 12))
    assert made.shape == (0, 7)
    made.sum().backward()
