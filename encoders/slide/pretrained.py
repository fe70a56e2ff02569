"""Pre-trained slide encoders: TITAN, PRISM, CHIEF, GigaPath and Madeleine, by their authors' own code and weights.

Their code and weights come under licences that each user accepts for himself. Nothing is downloaded: what is on this
machine is loaded, checked against what the encoder needs, and what is missing is said. The table holds what the
authors publish of inputs and interfaces (2024 to 2026). The loaders were written and tested against these interfaces
with small stand-ins, and have not been run with the real weights.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.encoders.slide.base import Block, SlideEmbedding, SlideEncoder, SlideEncoderSpec
from slidelake.encoders.weights import weights_sha256
from slidelake.errors import EncoderError, UnknownAggregatorError, UsageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PRETRAINED", "Pretrained", "PretrainedEncoder", "create_pretrained", "pretrained_names"]

#: Encodes features (n, D) float32, at `places` (n, 2) int64: the patches' corners where a patch has `patch_px` px.
#: Gives the embedding (1, E), and raw attention scores (1, n) where the encoder has such.
Encode = Callable[["Tensor", "Tensor"], tuple["Tensor", "Tensor | None"]]

#: A grid's mpp may be this far from the one that the encoder was trained at.
_MPP_TOLERANCE = 0.05
_GRID = re.compile(r"(?P<px>\d+)px-(?:(?P<mpp>[\d.]+)mpp|level0)(?P<stride>-s\d+)?")


@dataclass(frozen=True)
class Pretrained:
    """What one encoder needs: rows of `patch_encoder` (`dim` features, by one of the `known_as` names) on a grid of
    `patch_px` at `mpp`; `files` under its weights, of which `weights` (a pattern) decide its numbers."""

    title: str
    patch_encoder: str
    known_as: frozenset[str]
    dim: int
    patch_px: int
    mpp: float
    needs_coords: bool
    files: tuple[str, ...]
    weights: str
    source: str
    loader: str

    @property
    def grid(self) -> str:
        """The grid as people type it."""
        return f"{self.patch_px}px@{self.mpp:g}mpp"


#: One entry makes a pre-trained slide encoder known; its loader is in pretrained_loaders.py.
PRETRAINED: Mapping[str, Pretrained] = {
    "chief": Pretrained(
        title="CHIEF (Wang et al. 2024)",
        patch_encoder="CTransPath in CHIEF's version",
        known_as=frozenset({"ctranspath", "chiefctranspath"}),
        dim=768,
        patch_px=256,
        mpp=1.0,
        needs_coords=False,
        files=("models/CHIEF.py", "model_weight/CHIEF_pretraining.pth", "model_weight/Text_emdding.pth"),
        weights="model_weight/CHIEF_pretraining.pth",
        source="the folder of a clone of hms-dbmi/CHIEF (GitHub) with its two weights files in model_weight/",
        loader="load_chief",
    ),
    "gigapath": Pretrained(
        title="GigaPath's slide encoder (Xu et al. 2024)",
        patch_encoder="Prov-GigaPath",
        known_as=frozenset({"gigapath", "provgigapath"}),
        dim=1536,
        patch_px=256,
        mpp=0.5,
        needs_coords=True,
        files=("slide_encoder.pth",),
        weights="slide_encoder.pth",
        source="the folder of prov-gigapath/prov-gigapath (Hugging Face) with slide_encoder.pth",
        loader="load_gigapath",
    ),
    "madeleine": Pretrained(
        title="Madeleine (Jaume et al. 2024)",
        patch_encoder="CONCH",
        known_as=frozenset({"conch", "conchv1"}),
        dim=512,
        patch_px=256,
        mpp=1.0,
        needs_coords=False,
        files=("model_config.json", "model.pt"),
        weights="model.pt",
        source="the folder of MahmoodLab/madeleine (Hugging Face)",
        loader="load_madeleine",
    ),
    "prism": Pretrained(
        title="PRISM (Shaikovski et al. 2024)",
        patch_encoder="Virchow, class token and mean of the patch tokens",
        known_as=frozenset({"virchow", "virchow1", "virchowv1", "virchowfull"}),
        dim=2560,
        patch_px=224,
        mpp=0.5,
        needs_coords=False,
        files=("config.json",),
        weights="*.safetensors",
        source="the folder of paige-ai/Prism (Hugging Face)",
        loader="load_prism",
    ),
    "titan": Pretrained(
        title="TITAN (Ding et al. 2024)",
        patch_encoder="CONCH v1.5",
        known_as=frozenset({"conchv15", "conch15"}),
        dim=768,
        patch_px=512,
        mpp=0.5,
        needs_coords=True,
        files=("config.json",),
        weights="*.safetensors",
        source="the folder of MahmoodLab/TITAN (Hugging Face)",
        loader="load_titan",
    ),
}


def pretrained_names() -> list[str]:
    """The names that `create_pretrained` knows, sorted."""
    return sorted(PRETRAINED)


def create_pretrained(
    name: str,
    *,
    space: str,
    weights: str | Path | None,
    device: str = "auto",
    trust_space: bool = False,
) -> "PretrainedEncoder":
    """A pre-trained slide encoder for the bags of a space, from the user's own folder of code and weights.

    `weights` is that folder, as `PRETRAINED[name].source` says; loading it runs the authors' code that lies in it or
    in their installed package. The space's grid and patch encoder are checked by name; `trust_space` takes a space
    that is known to be right under another name.

    Raises UnknownAggregatorError; UsageError for a space of another grid or patch encoder; WeightsError for weights
    that are missing or do not fit; MissingDependencyError for a package that is missing.
    """
    if name not in PRETRAINED:
        raise UnknownAggregatorError(
            f"there is no pre-trained slide encoder {name!r}",
            remedy=f"Use one of: {', '.join(pretrained_names())}.",
        )
    about = PRETRAINED[name]
    grid_id, _, encoder_id = space.partition("/")
    if not trust_space:
        _check_space(name, about, grid_id, encoder_id)
    folder = _folder(name, about, weights)
    return PretrainedEncoder(name, about, encoder_id, folder, device=device)


class PretrainedEncoder(SlideEncoder):
    """One of `PRETRAINED`, loaded; embeds a bag that comes as one block, on its device, without gradients."""

    whole = True

    def __init__(
        self, name: str, about: Pretrained, encoder_id: str, folder: Path, *, device: str = "auto"
    ) -> None:
        from slidelake.encoders.device import device_name
        from slidelake.encoders.slide import pretrained_loaders

        self.facts = about
        self.needs_coords = about.needs_coords
        self.device = device_name(device)
        self.spec = SlideEncoderSpec(name, encoder_id, _digest(folder, about), description=about.title)
        load: Callable[[Path, str], Encode] = getattr(pretrained_loaders, about.loader)
        self._encode = load(folder, self.device)

    def about(self) -> Mapping[str, Any]:
        """What is kept of it beside each embedding."""
        return {"pretrained": self.facts.title, "sha256": self.spec.checkpoint_sha256, "device": self.device}

    def encode(self, blocks: Iterable[Block]) -> SlideEmbedding:
        """embedding (1, E), and with CHIEF scores (1, N) and lse (1,), of a bag that comes as one block.

        Raises EncoderError for features of another width, and for what is not finite.
        """
        import torch

        (bag,) = blocks
        if not bag.valid.any():
            raise ValueError(f"a bag without a valid row has no {self.spec.name} embedding")
        width = bag.features.shape[1]
        if width != self.facts.dim:
            raise EncoderError(
                f"{self.facts.title} takes {self.facts.dim} features a patch, the bag has {width}",
                remedy=f"Give bags of {self.facts.patch_encoder}.",
            )
        features = torch.from_numpy(bag.features[bag.valid].astype(np.float32)).to(self.device)
        places = torch.from_numpy(self._places(bag)).to(self.device)
        with torch.inference_mode():
            made, attention = self._encode(features, places)
        embedding = made.float().reshape(1, -1).cpu().numpy()
        if not np.isfinite(embedding).all():
            raise EncoderError(
                f"{self.facts.title} gave an embedding that is not finite",
                remedy="Check the weights; try device cpu, which computes in 32 bits.",
            )
        if attention is None:
            return SlideEmbedding(embedding)
        kept = attention.float().reshape(1, -1)
        scores = np.full((1, len(bag.valid)), -np.inf, np.float32)
        scores[:, bag.valid] = kept.cpu().numpy()
        return SlideEmbedding(embedding, scores, kept.logsumexp(1).cpu().numpy())

    def _places(self, bag: Block) -> NDArray[np.int64]:
        """(n, 2) corners of the valid patches, where a patch's side is `patch_px`; none asked for: (n, 0).

        The encoders divide these by the side and round down. One pixel is added: the corner of cell i is rounded to
        a whole level-0 pixel, and may lie just before i sides.
        """
        if not self.needs_coords:
            return np.empty((int(bag.valid.sum()), 0), np.int64)
        if bag.coords is None or bag.footprint is None:
            raise ValueError(f"{self.spec.name} needs a block's coords and footprint")
        corners = bag.coords[bag.valid] * (self.facts.patch_px / np.asarray(bag.footprint))
        return np.floor(corners + 1).astype(np.int64)


def _check_space(name: str, about: Pretrained, grid_id: str, encoder_id: str) -> None:
    """Refuse rows that the encoder was not trained on."""
    found = _GRID.match(grid_id)
    fits = (
        found is not None
        and int(found["px"]) == about.patch_px
        and found["mpp"] is not None
        and abs(float(found["mpp"]) / about.mpp - 1) <= _MPP_TOLERANCE
        and not (found["stride"] and about.needs_coords)
    )
    own = encoder_id.rpartition(".")[0] or encoder_id
    if not fits:
        raise UsageError(
            f"{name} takes patches of {about.grid} side by side, the bags are of {grid_id}",
            remedy=f"Ingest with --grid {about.grid}.",
        )
    if re.sub(r"[^a-z0-9]", "", own.lower()) not in about.known_as:
        raise UsageError(
            f"{name} takes rows of {about.patch_encoder}, the bags are of {own}",
            remedy=f"Give bags of {about.patch_encoder} on {about.grid} ({about.dim} features a patch).",
        )


def _folder(name: str, about: Pretrained, weights: str | Path | None) -> Path:
    """The folder with all that is needed; a file in it names its folder."""
    if weights is None:
        raise WeightsError(
            f"{name} needs its own weights",
            remedy=f"Get access from its authors, and give {about.source}.",
        )
    folder = Path(weights).expanduser().resolve()
    if folder.is_file():
        folder = folder.parent.parent if "/" in about.weights else folder.parent
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {weights}", remedy=f"Give {about.source}.")
    missing = [each for each in about.files if not (folder / each).is_file()]
    if not missing and not _weights_files(folder, about):
        missing = [about.weights]
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)}", remedy=f"Give {about.source}.")
    return folder


def _weights_files(folder: Path, about: Pretrained) -> list[Path]:
    return sorted(folder.glob(about.weights))


def _digest(folder: Path, about: Pretrained) -> str:
    """sha256 of the weights; of several files' digests, one after another in order of name."""
    digests = [weights_sha256(file) for file in _weights_files(folder, about)]
    if len(digests) == 1:
        return digests[0]
    import hashlib

    return hashlib.sha256("".join(digests).encode()).hexdigest()
