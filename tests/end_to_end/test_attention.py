"""From a checkpoint to pictures: embed, attention, heatmap, over slides that were really ingested."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from slidelake.services.heatmap.raster import thumbnail_raster
from slidelake.services.heatmap.values import column_values
from slidelake.services.lake import open as open_lake
from tests.encoders.slide.bags import put_checkpoint
from tests.end_to_end.conftest import Run


def test_embed_attention_heatmap(filled: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    shutil.copytree(filled, folder)
    lake = open_lake(folder)
    [space] = lake.store.spaces()
    slide_id = lake.store.slide_ids()[0]
    model = put_checkpoint(tmp_path / "model.safetensors", space=space, dim=lake.bag(slide_id).dim)
    made = json.loads(run("embed", "--aggregator", model, "--store", folder, "--json").stdout)
    assert (made["made"], made["failed"]) == (4, [])
    health = json.loads(
        run("attention", "--aggregator", "abmil", "--store", folder, "--json", "--min-rows", 2).stdout
    )
    assert len(health["slides"]) == 4
    said = run(
        "heatmap", slide_id, "--aggregator", model, "--out", tmp_path / "maps", "--store", folder, "--json"
    )
    maps = json.loads(said.stdout)["heatmaps"]
    assert len(maps) == 2
    pooled = lake.store.pooled(slide_id, space, made["aggregator_id"])
    for branch, each in enumerate(maps):
        features = json.loads(Path(each["files"]["geojson"]).read_text(encoding="utf-8"))["features"]
        top = features[0]["properties"]["measurements"]
        assert top["row"] == np.argmax(pooled.scores[branch])
        # The patches are those of the slide itself, not of its thumbnail.
        with Image.open(each["files"]["patches"]) as sheet:
            assert len(sheet.convert("RGB").getcolors(1 << 22) or []) > 5000


def test_the_tissue_column_lies_on_the_tissue(filled: Path) -> None:
    """The column was measured on the stored mask: where a patch is drawn, the mask has the tissue that it says."""
    lake = open_lake(filled)
    for slide_id in lake.store.slide_ids():
        grid_id = lake.store.resolve_space(None).partition("/")[0]
        mask = lake.store.overview(slide_id).tissue_mask
        values = column_values(lake.store, slide_id, grid_id, "tissue")
        rows = replace(values, values=np.arange(len(values.values), dtype=np.float64))
        drawn = np.round(thumbnail_raster(rows, mask.shape[1], mask.shape[0]))
        found = np.array([mask[drawn == row].mean() for row in range(len(values.values))])
        assert found.std() > 0.01  # the slides have edges
        np.testing.assert_allclose(found, values.values / 255, atol=0.01)
