"""Small bags of random features, and checkpoints of an untrained ABMIL, for tests of embedding."""

import numpy as np
import torch

from slidelake.encoders.slide import Checkpoint, create_slide_model, save_checkpoint

GRID, ENCODER = "256px-0.5mpp", "stain-texture.0123abcd"
SPACE = f"{GRID}/{ENCODER}"


def put_bag(store, slide_id, rows, *, seed=0, valid=None, encoder_id=ENCODER, dim=12, features=None):
    generator = np.random.default_rng(seed)
    coords = np.stack([np.arange(rows) * 512, np.zeros(rows)], 1).astype(np.int32)
    tissue = np.full(rows, 255, np.uint8)
    store.put_grid(
        slide_id,
        GRID,
        coords=coords,
        columns={"tissue": tissue, "blur": tissue},
        attributes={},
        provenance={},
    )
    if features is None:
        features = generator.normal(size=(rows, dim)).astype(np.float16)
    with store.bag_writer(slide_id, GRID, encoder_id, dim=dim) as writer:
        for start in range(0, rows, 700):
            part = slice(start, start + 700)
            writer.write(features[part], None if valid is None else valid[part])
        writer.commit({})
    return features


def counts(report):
    return report.made, report.already, len(report.failed)


def put_checkpoint(
    path, *, space=SPACE, dim=12, branches=2, seed=0, task=None, change=None, name="abmil", **options
):
    """A slide encoder with random weights, its attention made far from uniform; `change` may alter the model."""
    task = task or {"kind": "classification", "column": "label", "classes": ["benign", "tumour"]}
    outputs = len(task.get("classes") or task.get("columns") or [0])
    torch.manual_seed(seed)
    options = options or ({"hidden": 8, "branches": branches} if name == "abmil" else {})
    model = create_slide_model(name, dim=dim, outputs=outputs, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    if change is not None:
        change(model)
    encoder = {"name": space.partition("/")[2].rpartition(".")[0], "dim": dim}
    provenance = {"snapshot": "v1", "seed": seed, "slides": ["S1", "S2"]}
    save_checkpoint(path, Checkpoint(model, space, task, encoder, provenance))
    return path
