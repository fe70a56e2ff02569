"""timm models with weights from disk: small ones of random weights, saved and loaded again."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from slidelake.encoders import create_encoder
from slidelake.encoders.testing import PatchEncoderTests, tissue_like
from slidelake.errors import MissingDependencyError, UnknownEncoderError, UsageError, WeightsError

# The smallest that timm has: made for tests.
CONV, VIT = "test_resnet", "test_vit"
NOISE = {"random_weights": True, "seed": 1}


class TestTimmConvolutions(PatchEncoderTests):
    name = f"timm:{CONV}"
    options = NOISE
    sides = (64, 160)
    # A BLAS sums in another order for another batch.
    row_tolerance = 1e-4


class TestTimmTransformer(PatchEncoderTests):
    name = f"timm:{VIT}"
    options = NOISE
    sides = (64, 160)
    row_tolerance = 1e-4


def _state(model: str = VIT, *, classes: int = 0) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        state: dict[str, torch.Tensor] = timm.create_model(model, num_classes=classes).state_dict()
    return state


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "bin"])
def test_weights_from_disk_are_used(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    state = _state()
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, path)
    encoder = create_encoder(f"timm:{VIT}", weights=str(path), device="cpu")
    patches = tissue_like(2, 160)
    model = timm.create_model(VIT, num_classes=0)
    model.load_state_dict(state)
    config = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        pixels = (torch.from_numpy(patches).permute(0, 3, 1, 2) / 255.0 - mean) / std
        expected = model.eval()(pixels).numpy()
    assert np.abs(encoder.encode(patches) - expected).max() < 1e-4
    assert len(encoder.spec.weights_sha256) == 64


def test_a_classifier_left_in_the_weights_is_dropped(tmp_path: Path) -> None:
    save_file(_state(classes=5), tmp_path / "with_head.safetensors")
    save_file(_state(), tmp_path / "without.safetensors")
    patches = tissue_like(1, 160)
    rows = [
        create_encoder(f"timm:{VIT}", weights=str(path), device="cpu").encode(patches)
        for path in sorted(tmp_path.iterdir())
    ]
    assert rows[0].shape == rows[1].shape == (1, 64)


def test_patches_of_another_side_are_resized_whole() -> None:
    encoder = create_encoder(f"timm:{CONV}", device="cpu", **NOISE)
    side = encoder.spec.input_px
    assert side == 160
    flat = np.full((1, 64, 64, 3), (200, 120, 160), np.uint8)
    assert encoder.encode(flat) == pytest.approx(
        encoder.encode(np.full((1, side, side, 3), (200, 120, 160), np.uint8)), abs=1e-4
    )
    assert encoder.spec.resampling == "bilinear, antialiased"


def test_what_changes_the_rows_changes_the_id(tmp_path: Path) -> None:
    save_file(_state(), tmp_path / "a.safetensors")
    state = _state()
    state["norm.bias"] += 1.0
    save_file(state, tmp_path / "b.safetensors")
    name = f"timm:{VIT}"
    ids = {
        create_encoder(name, device="cpu", **options).spec.encoder_id
        for options in (
            {"weights": str(tmp_path / "a.safetensors")},
            {"weights": str(tmp_path / "b.safetensors")},
            {"weights": str(tmp_path / "a.safetensors"), "pooling": "cls+mean"},
            {"random_weights": True, "seed": 1},
            {"random_weights": True, "seed": 2},
            {"random_weights": True, "seed": 1, "img_size": 96},
        )
    }
    assert len(ids) == 6
    again = create_encoder(name, device="cpu", weights=str(tmp_path / "a.safetensors"), dtype="bfloat16")
    assert again.spec.encoder_id in ids


@pytest.mark.parametrize(("pooling", "dim"), [("default", 64), ("cls", 64), ("mean", 64), ("cls+mean", 128)])
def test_poolings_of_tokens(pooling: str, dim: int) -> None:
    encoder = create_encoder(f"timm:{VIT}", device="cpu", pooling=pooling, **NOISE)
    rows = encoder.encode(tissue_like(2, 64))
    assert rows.shape == (2, dim)
    assert encoder.spec.dim == dim
    if pooling != "default":
        assert encoder.spec.pooling == pooling


def test_cls_and_mean_stand_side_by_side() -> None:
    patches = tissue_like(2, 160)
    made = {
        pooling: create_encoder(f"timm:{VIT}", device="cpu", pooling=pooling, **NOISE).encode(patches)
        for pooling in ("cls", "mean", "cls+mean")
    }
    assert made["cls+mean"] == pytest.approx(np.hstack([made["cls"], made["mean"]]), abs=1e-5)


def test_half_precision_is_near() -> None:
    patches = tissue_like(2, 160)
    exact = create_encoder(f"timm:{VIT}", device="cpu", **NOISE).encode(patches)
    coarse = create_encoder(f"timm:{VIT}", device="cpu", dtype="bfloat16", **NOISE).encode(patches)
    assert coarse.dtype == np.float32
    # bfloat16 keeps 8 bits: 0.4 % a value, some layers deep.
    assert np.linalg.norm(coarse - exact) < 0.05 * np.linalg.norm(exact)


@pytest.mark.parametrize("options", [{}, {"random_weights": True}, {"seed": 3}])
def test_no_weights_are_refused_unless_noise_is_asked_for(options: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        create_encoder(f"timm:{VIT}", **options)


def test_a_random_model_leaves_the_callers_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    create_encoder(f"timm:{VIT}", device="cpu", **NOISE)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        (f"timm:{VIT}x", NOISE, UnknownEncoderError),
        (f"timm:{VIT}", {**NOISE, "dtype": "int8"}, UsageError),
        (f"timm:{VIT}", {**NOISE, "pooling": "max"}, UsageError),
        (f"timm:{CONV}", {**NOISE, "pooling": "cls"}, UsageError),
        (f"timm:{VIT}", {**NOISE, "device": "abacus"}, UsageError),
        (f"timm:{VIT}", {"weights": "nowhere/weights.pth"}, WeightsError),
    ],
)
def test_what_cannot_be_is_refused(name: str, options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        create_encoder(name, **options)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file(_state(CONV), tmp_path / "conv.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        create_encoder(f"timm:{VIT}", weights=str(tmp_path / "conv.safetensors"))
    state = _state()
    state["norm.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "shape.safetensors")
    with pytest.raises(WeightsError, match="other shapes"):
        create_encoder(f"timm:{VIT}", weights=str(tmp_path / "shape.safetensors"))


def test_timm_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        create_encoder(f"timm:{VIT}", **NOISE)
