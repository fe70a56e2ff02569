"""Models of the timm library by name: `timm:vit_small_patch16_224`, with weights from a local file.

Nothing is fetched. The model's own data config gives input side, mean, deviation and interpolation; patches go to
the device as bytes and are resized (whole, never cropped) and normalised there.
"""

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidelake.encoders.base import EncoderSpec, PatchEncoder, check_patches
from slidelake.encoders.device import device_name
from slidelake.encoders.registry import register
from slidelake.encoders.weights import read_state, weights_file, weights_sha256
from slidelake.errors import MissingDependencyError, UnknownEncoderError, UsageError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["TimmEncoder"]

_POOLINGS = ("default", "cls", "mean", "cls+mean")
_DTYPES = ("float32", "float16", "bfloat16")


class TimmEncoder:
    """A timm model without its classifier; `spec` says how its rows are made."""

    def __init__(
        self,
        model: "torch.nn.Module",
        spec: EncoderSpec,
        *,
        pooling: str,
        device: str,
        dtype: str,
        data: dict[str, Any],
    ) -> None:
        import torch

        self.spec = spec
        self._pooling = pooling
        self._device = torch.device(device)
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._model = model.eval().to(device=self._device, dtype=self._dtype)
        self._interpolation = data["interpolation"]
        # (bytes / 255 - mean) / std as one multiplication and one addition.
        std = torch.tensor(data["std"], dtype=torch.float64)
        mean = torch.tensor(data["mean"], dtype=torch.float64)
        self._scale = (1.0 / (255.0 * std)).view(1, 3, 1, 1).to(self._device, torch.float32)
        self._shift = (-mean / std).view(1, 3, 1, 1).to(self._device, torch.float32)

    def encode(self, patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(B, H, W, 3) uint8 to (B, D) float32; raises UsageError on another shape or dtype."""
        import torch

        check_patches(patches, encoder=self.spec.name)
        if not len(patches):
            return np.empty((0, self.spec.dim), np.float32)
        # torch warns about arrays that it could write to and must not.
        own = patches if patches.flags.writeable and patches.flags.c_contiguous else patches.copy()
        with torch.inference_mode():
            batch = torch.from_numpy(own).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
            pixels = self._resized(batch.float())
            pixels = torch.addcmul(self._shift, pixels, self._scale).to(self._dtype)
            rows = self._pooled(pixels.contiguous(memory_format=torch.channels_last)).float().cpu()
        made: npt.NDArray[np.float32] = rows.numpy()
        return made

    def _resized(self, pixels: "torch.Tensor") -> "torch.Tensor":
        import torch.nn.functional as F

        side = self.spec.input_px
        if side is None or pixels.shape[2:] == (side, side):
            return pixels
        resized = F.interpolate(
            pixels, (side, side), mode=self._interpolation, antialias=True, align_corners=False
        )
        # Bicubic overshoots at edges: no pixel is whiter than white.
        return resized.clamp(0.0, 255.0)

    def _pooled(self, pixels: "torch.Tensor") -> "torch.Tensor":
        import torch

        if self._pooling == "default":
            pooled: torch.Tensor = self._model(pixels)
            return pooled
        tokens: torch.Tensor = self._model.forward_features(pixels)  # type: ignore[operator]
        prefix = int(self._model.num_prefix_tokens)  # type: ignore[arg-type]
        parts = {"cls": tokens[:, 0], "mean": tokens[:, prefix:].mean(1)}
        return torch.cat([parts[part] for part in self._pooling.split("+")], dim=1)


@register("timm:", needs="timm", description="a model of the timm library; weights from a local file")
def create(
    model: str,
    *,
    weights: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    pooling: str = "default",
    img_size: int | None = None,
    preferred_mpp: float | None = None,
    random_weights: bool = False,
    seed: int | None = None,
) -> PatchEncoder:
    """Make timm's `model` with weights from a .safetensors, .pth, .pt or .bin file.

    `pooling`: the model's own ("default"), or for transformers "cls", "mean" of the patch tokens, "cls+mean".
    `img_size` builds the model for another side. Without weights it is refused, unless `random_weights=True` and a
    `seed` say that noise is wanted (for tests and for timing). Raises MissingDependencyError without timm,
    UnknownEncoderError on a model that timm does not know, WeightsError on weights that do not fit.
    """
    try:
        import timm
        import torch
        from timm.data.config import resolve_model_data_config
    except ImportError as exc:
        raise MissingDependencyError(
            f"timm:{model} needs timm ({exc})", remedy='Install it: pip install "slidelake[timm]".'
        ) from exc
    name = f"timm:{model}"
    _check_options(name, dtype=dtype, pooling=pooling)
    if not timm.is_model(model):
        close = ", ".join(difflib.get_close_matches(model, timm.list_models(), n=5)) or "timm.list_models()"
        raise UnknownEncoderError(f"timm has no model {model!r}", remedy=f"See {close}.")
    if weights is None and not (random_weights and seed is not None):
        raise WeightsError(
            f"{name} has no weights",
            remedy="Give weights=PATH of a local file, or random_weights=True and a seed if noise is wanted.",
        )
    # Transformers are built for one side; a network of convolutions takes any and knows no such argument.
    fixed = bool(timm.get_pretrained_cfg_value(model, "fixed_input_size")) if img_size is not None else False
    size: dict[str, Any] = {"img_size": img_size} if fixed else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if seed is None else seed)
        built: torch.nn.Module = timm.create_model(model, pretrained=False, num_classes=0, **size)
    if weights is None:
        digest = f"random weights of seed {seed}"
    else:
        file = weights_file(weights)
        digest = weights_sha256(file)
        _load(built, read_state(file), name=name, path=weights)
    if pooling != "default" and not hasattr(built, "num_prefix_tokens"):
        raise UsageError(f"{name} has no tokens to pool by {pooling!r}", remedy='Use pooling="default".')
    data: dict[str, Any] = dict(resolve_model_data_config(built))  # type: ignore[no-untyped-call]
    if img_size is not None:
        data["input_size"] = (3, img_size, img_size)
    if data["interpolation"] not in ("bilinear", "bicubic"):
        # torch resizes with antialiasing in these two ways only; the spec records which was used.
        data["interpolation"] = "bicubic"
    spec = _spec(name, built, data, pooling=pooling, preferred_mpp=preferred_mpp, digest=digest)
    return TimmEncoder(built, spec, pooling=pooling, device=device_name(device), dtype=dtype, data=data)


def _check_options(name: str, *, dtype: str, pooling: str) -> None:
    if dtype not in _DTYPES:
        raise UsageError(f"{name} cannot compute in {dtype!r}", remedy=f"Choose one of {', '.join(_DTYPES)}.")
    if pooling not in _POOLINGS:
        raise UsageError(
            f"{name} has no pooling {pooling!r}", remedy=f"Choose one of {', '.join(_POOLINGS)}."
        )


def _spec(
    name: str,
    model: "torch.nn.Module",
    data: dict[str, Any],
    *,
    pooling: str,
    preferred_mpp: float | None,
    digest: str,
) -> EncoderSpec:
    pretrained: dict[str, Any] = getattr(model, "pretrained_cfg", {}) or {}
    pool = getattr(model, "global_pool", None)
    own = pool if isinstance(pool, str) else str(getattr(pool, "pool_type", "model"))
    return EncoderSpec(
        name=name,
        dim=int(model.num_features) * len(pooling.split("+")),  # type: ignore[arg-type]
        input_px=int(data["input_size"][-1]),
        preferred_mpp=preferred_mpp,
        normalisation=(tuple(data["mean"]), tuple(data["std"])),
        pooling=f"default ({own})" if pooling == "default" else pooling,
        resampling=f"{data['interpolation']}, antialiased",
        weights_sha256=digest,
        licence=str(pretrained.get("license") or "that of the weights"),
        description=f"{name.removeprefix('timm:')} from timm",
    )


def _load(model: "torch.nn.Module", state: dict[str, "torch.Tensor"], *, name: str, path: str) -> None:
    """Fill every weight of the model; what is left over may only be a classifier."""
    pretrained: dict[str, Any] = getattr(model, "pretrained_cfg", {}) or {}
    classifier = pretrained.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    kept = {
        key: value for key, value in state.items() if not key.startswith(tuple(f"{head}." for head in heads))
    }
    try:
        report = model.load_state_dict(kept, strict=False)
    except RuntimeError as exc:
        raise WeightsError(
            f"the weights of {path} have other shapes than {name}",
            remedy="Give the weights of this very model.",
        ) from exc
    if report.missing_keys or report.unexpected_keys:
        raise WeightsError(
            f"the weights of {path} do not fit {name}: {_some(report.missing_keys)} missing, "
            f"{_some(report.unexpected_keys)} too many",
            remedy="Give the weights of this very model.",
        )


def _some(keys: list[str]) -> str:
    return f"{len(keys)} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})" if keys else "none"
