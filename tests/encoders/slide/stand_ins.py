"""Small stand-ins for the packages and folders of pre-trained slide encoders: the same calls, weights of a few KB.

They are written to disk and imported from there, as the authors' own would be.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

#: transformers: a model whose class is chosen by config.json, as the real one reads it from the folder's own code.
TRANSFORMERS = """
import json, pathlib
import torch
from safetensors.torch import load_file

class _Titan(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.project = torch.nn.Linear(768, 5, bias=False)
    def encode_slide_from_patch_features(self, patch_features, patch_coords, patch_size_lv0):
        assert patch_features.shape[::2] == (1, 768) and patch_coords.dtype == torch.int64
        cells = patch_coords.div(patch_size_lv0, rounding_mode="floor")
        self.cells = cells[0]
        return (self.project(patch_features) * (1 + cells.sum(-1, keepdim=True))).mean(1)

class _Prism(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.project = torch.nn.Linear(2560, 7, bias=False)
    def slide_representations(self, x, tile_mask=None):
        latents = self.project(x)
        return {"image_embedding": latents.mean(1), "image_latents": latents}

class AutoModel:
    @classmethod
    def from_pretrained(cls, folder, *, trust_remote_code=False, local_files_only=False):
        assert trust_remote_code and local_files_only
        folder = pathlib.Path(folder)
        model = {"titan": _Titan, "prism": _Prism, "other": torch.nn.Identity}[
            json.loads((folder / "config.json").read_text())["model_type"]]()
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=model.__class__ is not torch.nn.Identity)
        return model
"""

GIGAPATH = """
import torch

class LongNetViT(torch.nn.Module):
    def __init__(self, in_chans):
        super().__init__()
        self.patch_embed = torch.nn.Linear(in_chans, 6)
        self.dropout = torch.nn.Dropout(0.5)
    def forward(self, x, coords, all_layer_embed=False):
        cells = torch.floor(coords / 256.0)
        self.cells = cells[0]
        x = self.dropout(self.patch_embed(x)) * (1 + cells.sum(-1, keepdim=True))
        return [0 * x.mean(1), x.mean(1)] if all_layer_embed else [x.mean(1)]

def create_model(pretrained, model_arch, in_chans, **kwargs):
    assert model_arch == "gigapath_slide_enc12l768d"
    return LongNetViT(in_chans)
"""

MADELEINE = """
import torch

class MADELEINE(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.project = torch.nn.Linear(config.patch_embedding_dim, config.wsi_encoder_hidden_dim)
    def encode_he(self, feats, device):
        return self.project(feats.to(device)).mean(1)

def create_model(model_cfg, device="cpu", checkpoint_path=None, hf_auth_token=None):
    model = MADELEINE(model_cfg).to(device)
    model.load_state_dict(torch.load(checkpoint_path))
    return model
"""

CHIEF = """
import torch
from utils.utils import initialize_weights

class CHIEF(torch.nn.Module):
    def __init__(self, gate=True, size_arg="large", dropout=True, n_classes=2):
        super().__init__()
        self.score = torch.nn.Linear({"small": 768}[size_arg], 1)
        initialize_weights(self)
        self.register_buffer("organ_embedding", torch.randn(19, 768))
        self.organ_embedding.data = torch.load("./model_weight/Text_emdding.pth").float()
    def forward(self, h, x_anatomic):
        raw = self.score(h).T
        feature = raw.softmax(1) @ h
        return {"WSI_feature": feature, "attention_raw": raw, "M": feature + self.organ_embedding[x_anatomic]}
"""


def write_packages(folder: Path) -> None:
    """transformers, gigapath and madeleine as importable packages in a folder."""
    for name, text in {
        "transformers.py": TRANSFORMERS,
        "gigapath/__init__.py": "",
        "gigapath/slide_encoder.py": GIGAPATH,
        "madeleine/__init__.py": "",
        "madeleine/models/__init__.py": "",
        "madeleine/models/Model.py": MADELEINE,
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def write_weights(name: str, folder: Path) -> Path:
    """The folder of one encoder, as its authors lay it out."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    if name in ("titan", "prism"):
        weight = torch.randn(5, 768) if name == "titan" else torch.randn(7, 2560)
        save_file({"project.weight": weight}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"model_type": name}))
    elif name == "gigapath":
        state = {"patch_embed.weight": torch.randn(6, 1536), "patch_embed.bias": torch.randn(6)}
        torch.save({"model": state}, folder / "slide_encoder.pth")
    elif name == "madeleine":
        (folder / "model_config.json").write_text(
            json.dumps({"patch_embedding_dim": 512, "wsi_encoder_hidden_dim": 4, "precision": "float32"})
        )
        torch.save(
            {"project.weight": torch.randn(4, 512), "project.bias": torch.zeros(4)}, folder / "model.pt"
        )
    else:
        for file, text in {
            "models/__init__.py": "",
            "models/CHIEF.py": CHIEF,
            "utils/__init__.py": "",
            "utils/utils.py": "def initialize_weights(module):\n    pass\n",
        }.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
        (folder / "model_weight").mkdir()
        organs = torch.randn(19, 768)
        torch.save(organs, folder / "model_weight" / "Text_emdding.pth")
        torch.save(
            {
                "score.weight": torch.randn(1, 768) / 10,
                "score.bias": torch.zeros(1),
                "organ_embedding": organs,
            },
            folder / "model_weight" / "CHIEF_pretraining.pth",
        )
    return folder
