"""How each pre-trained slide encoder is loaded and called: the only file that knows their authors' interfaces.

A loader takes the folder and the device, and gives an `Encode` (pretrained.py). Theirs is code of others: whatever it
raises while loading becomes a WeightsError that names the encoder.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from slidelake.encoders.weights import read_state
from slidelake.errors import EncoderError, MissingDependencyError, WeightsError

if TYPE_CHECKING:
    from slidelake.encoders.slide.pretrained import Encode

#: GigaPath's table of positions: 1,000 × 1,000 patches.
_GIGAPATH_SIDE = 1000


def load_titan(folder: Path, device: str) -> "Encode":
    """AutoModel of the folder; `encode_slide_from_patch_features(features, coords, patch side)`."""
    model = _from_transformers("titan", folder, device, "encode_slide_from_patch_features")

    def encode(features: Tensor, places: Tensor) -> tuple[Tensor, None]:
        with _half_on_gpu(device):
            return model.encode_slide_from_patch_features(features[None], places[None], 512), None

    return encode


def load_prism(folder: Path, device: str) -> "Encode":
    """AutoModel of the folder; `slide_representations(features)["image_embedding"]`."""
    model = _from_transformers("prism", folder, device, "slide_representations")

    def encode(features: Tensor, places: Tensor) -> tuple[Tensor, None]:
        with _half_on_gpu(device):
            return model.slide_representations(features[None])["image_embedding"], None

    return encode


def load_gigapath(folder: Path, device: str) -> "Encode":
    """`gigapath.slide_encoder.create_model`; the last layer's embedding, as in the authors' pipeline."""
    create_model = _import(
        "gigapath", "gigapath.slide_encoder", "create_model", "gigapath, as prov-gigapath's README says"
    )
    with _loading("gigapath", folder):
        # Without a file there theirs starts from chance and says so in print; the weights are put in here, and checked.
        model = create_model("", "gigapath_slide_enc12l768d", 1536)
        missing, _ = model.load_state_dict(read_state(folder / "slide_encoder.pth"), strict=False)
        if missing:
            raise WeightsError(
                f"slide_encoder.pth has no weights for {', '.join(sorted(missing)[:3])} and {len(missing)} in all",
                remedy="Take slide_encoder.pth of prov-gigapath/prov-gigapath.",
            )
        model = model.to(device).eval()

    def encode(features: Tensor, places: Tensor) -> tuple[Tensor, None]:
        # The table's index is x · 1,000 + y: what lies beyond would take another patch's position.
        if int(places.max()) >= 256 * _GIGAPATH_SIDE:
            raise EncoderError(
                f"the slide has more than {_GIGAPATH_SIDE} patches in a row, GigaPath has positions for no more",
                remedy="Use another slide encoder for this slide.",
            )
        with _half_on_gpu(device):
            return model(features[None], places[None].float(), all_layer_embed=True)[-1], None

    return encode


def load_madeleine(folder: Path, device: str) -> "Encode":
    """`madeleine.models.Model.create_model` with the folder's configuration; `encode_he(features, device)`."""
    create_model = _import(
        "madeleine", "madeleine.models.Model", "create_model", "madeleine, from mahmoodlab/MADELEINE"
    )
    with _loading("madeleine", folder):
        settings = Namespace(**json.loads((folder / "model_config.json").read_text(encoding="utf-8")))
        # Their own factory downloads first; this is what it does afterwards.
        model = create_model(settings, device=device, checkpoint_path=str(folder / "model.pt")).eval()

    def encode(features: Tensor, places: Tensor) -> tuple[Tensor, None]:
        return model.encode_he(features[None], device), None

    return encode


def load_chief(folder: Path, device: str) -> "Encode":
    """`models.CHIEF.CHIEF` of the clone; `WSI_feature` and raw attention. The site of the tumour, which the model also
    takes, has no part in these two: any will do."""
    with _loading("chief", folder), _inside(folder):
        model = import_module("models.CHIEF").CHIEF(size_arg="small", dropout=True, n_classes=2)
        model.load_state_dict(read_state(folder / "model_weight" / "CHIEF_pretraining.pth"))
        model = model.to(device).eval()
    site = torch.tensor([0], device=device)

    def encode(features: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        made = model(features, site)
        return made["WSI_feature"], made["attention_raw"]

    return encode


def _from_transformers(name: str, folder: Path, device: str, method: str) -> Any:
    auto = _import(name, "transformers", "AutoModel", "transformers, einops and timm")
    with _loading(name, folder):
        model = auto.from_pretrained(str(folder), trust_remote_code=True, local_files_only=True)
        if not hasattr(model, method):
            raise WeightsError(
                f"the model in {folder} is no {name}: it has no {method}",
                remedy="Give the folder as its authors publish it.",
            )
        return model.to(device).eval()


def _import(name: str, module: str, attribute: str, packages: str) -> Any:
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise MissingDependencyError(
            f"{name} needs {attribute} of the package {module.partition('.')[0]} ({exc})",
            remedy=f"Install {packages}.",
        ) from exc


@contextmanager
def _loading(name: str, folder: Path) -> Iterator[None]:
    """Whatever theirs raises is said as what it means to the user."""
    try:
        yield
    except (WeightsError, MissingDependencyError):
        raise
    except ImportError as exc:
        raise MissingDependencyError(
            f"the code of {name} cannot be imported ({exc})", remedy="Install what its authors list."
        ) from exc
    except Exception as exc:
        raise WeightsError(
            f"{name} cannot be loaded from {folder} ({type(exc).__name__}: {exc})",
            remedy="Give the folder as its authors publish it, with the versions of packages that they name.",
        ) from exc


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Import and run as in a clone's own folder: CHIEF's packages are named `models` and `utils`, and it reads files by
    paths from there. Both names are given back afterwards."""
    ours = {name: module for name, module in sys.modules.items() if _is_theirs(name)}
    for name in ours:
        del sys.modules[name]
    place = Path.cwd()
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if _is_theirs(name)]:
            del sys.modules[name]
        sys.modules.update(ours)


def _is_theirs(module: str) -> bool:
    return module.partition(".")[0] in ("models", "utils")


def _half_on_gpu(device: str) -> torch.autocast:
    """16 bits on a GPU, as the authors run theirs; 32 elsewhere."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.float16, enabled=kind == "cuda")
