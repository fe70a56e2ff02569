"""Labelled rows from a lake and from folders of images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slidelake.encoders import create_encoder
from slidelake.errors import UnknownNameError, UsageError
from slidelake.index.probing import (
    draw_few_shot,
    draw_robustness,
    draw_zero_shot,
    few_shot,
    labelled_images,
    lake_patches,
    near_identical,
    robustness_index,
    zero_shot,
)
from slidelake.store import FeatureStore
from tests.index.lakes import SPACE, coords, features, make_lake, put_slide
from tests.index.probing.rows import clouds, labelled
from tests.index.probing.test_robustness import archive
from tests.index.probing.test_zero_shot import WordEncoder, tissue


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return make_lake(tmp_path / "lake")


def test_a_column_about_slides(store: FeatureStore) -> None:
    valid = np.ones(12, np.uint8)
    valid[3] = 0
    put_slide(store, "S9", features(9), valid=valid, patient="P9")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S9"], "site": ["lung"]}))
    store.metadata.unset("site", ["S0"])
    rows = lake_patches(store, metadata="site", centre="age")
    assert rows.name == SPACE
    assert len(rows) == 6 * 12 - 1
    assert rows.left_out == {"slides without a label": 1, "patches that could not be read": 1}
    assert set(rows.labels[rows.slides == "S9"]) == {"lung"}
    assert set(rows.groups[rows.slides == "S5"]) == {"P2"}
    assert set(rows.centres[rows.slides == "S5"]) == {"65"}
    np.testing.assert_array_equal(
        rows.features[rows.slides == "S1"], np.asarray(store.bag("S1", SPACE).features, np.float32)
    )
    few = lake_patches(store, metadata="site", per_slide=5, seed=1)
    assert [int((few.slides == each).sum()) for each in ("S1", "S9")] == [5, 5]
    np.testing.assert_array_equal(
        few.features, lake_patches(store, metadata="site", per_slide=5, seed=1).features
    )
    whole = lake_patches(store, metadata="site", unit="slide")
    assert len(whole) == 6
    mean = np.asarray(store.bag("S1", SPACE).features, np.float64).mean(axis=0)
    np.testing.assert_allclose(whole.features[whole.slides == "S1"][0], mean, rtol=1e-5)


def test_a_column_of_the_grid(store: FeatureStore) -> None:
    rows = lake_patches(store, column="blur")
    assert sorted(set(rows.labels), key=int) == [str(n) for n in range(12)]
    put_slide(store, "S8", features(8, 200))
    with pytest.raises(UsageError, match="200 values: a measure"):
        lake_patches(store, column="blur")
    with pytest.raises(UnknownNameError, match="no column 'pen'"):
        lake_patches(store, column="pen")


def test_a_table_of_patches(store: FeatureStore) -> None:
    places = coords(12)
    table = pd.DataFrame(
        {
            "slide_id": ["S1", "S1", "S4", "S4"],
            "x": places[[0, 7, 2, 3], 0],
            "y": places[[0, 7, 2, 3], 1],
            "label": ["tumour", "fat", "tumour", ""],
        }
    )
    rows = lake_patches(store, table=table)
    assert rows.labels.tolist() == ["tumour", "fat", "tumour"]
    assert rows.slides.tolist() == ["S1", "S1", "S4"]
    assert rows.left_out == {"without a label": 1}
    np.testing.assert_array_equal(
        rows.features[1], np.asarray(store.bag("S1", SPACE).features[7], np.float32)
    )


def test_what_a_lake_refuses(store: FeatureStore) -> None:
    with pytest.raises(UsageError, match="one place"):
        lake_patches(store)
    with pytest.raises(UsageError, match="one place"):
        lake_patches(store, metadata="site", column="blur")
    with pytest.raises(UnknownNameError, match="no column 'organ'"):
        lake_patches(store, metadata="organ")
    with pytest.raises(UsageError, match="no label of its patches"):
        lake_patches(store, column="blur", unit="slide")
    store.metadata.unset("site", [f"S{n}" for n in range(6)])
    with pytest.raises(UsageError, match="site"):
        lake_patches(store, metadata="site")


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        for n in range(4):
            coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
            (folder / kind).mkdir(parents=True, exist_ok=True)
            coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / kind / f"P{n}_centre{n % 2}.png")


def test_folders_of_images(tmp_path: Path) -> None:
    write_images(tmp_path)
    with Image.open(tmp_path / "a" / "P0_centre0.png") as image:
        image.rotate(90).save(tmp_path / "b" / "turned.png")
    (tmp_path / "b" / "broken.png").write_bytes(b"no image")
    (tmp_path / "b" / "notes.txt").write_text("not an image either")
    encoder = create_encoder("colour-histogram")
    rows = labelled_images(tmp_path, encoder)
    assert rows.labels.tolist() == ["a"] * 4 + ["b"] * 5
    assert rows.left_out == {"images that cannot be read": 1}
    assert rows.groups[0] == rows.groups[-1]
    assert len(set(rows.groups)) == 8
    assert any("2 images are nearly identical" in note for note in rows.notes)
    assert any("broken.png" in note for note in rows.notes)
    with Image.open(tmp_path / "a" / "P1_centre1.png") as image:
        np.testing.assert_array_equal(rows.features[1], encoder.encode(np.asarray(image)[None])[0])


def test_patients_and_centres_in_paths(tmp_path: Path) -> None:
    write_images(tmp_path)
    encoder = create_encoder("colour-histogram")
    rows = labelled_images(tmp_path, encoder, group_pattern=r"/(P\d)_", centre_pattern=r"centre\d")
    assert rows.groups.tolist() == ["P0", "P1", "P2", "P3"] * 2
    assert rows.slides.tolist() == rows.groups.tolist()
    assert rows.centres.tolist() == ["centre0", "centre1"] * 4
    with pytest.raises(UsageError, match="no regular expression"):
        labelled_images(tmp_path, encoder, group_pattern="(")
    with pytest.raises(UsageError, match="finds nothing in a/P0"):
        labelled_images(tmp_path, encoder, centre_pattern="hospital")
    with pytest.raises(UsageError, match="is no folder"):
        labelled_images(tmp_path / "none", encoder)
    with pytest.raises(UsageError, match="no images in folders"):
        labelled_images(tmp_path / "a", encoder)


def test_near_identical_images_share_a_number_over_others_between() -> None:
    hashes = np.array([[0b0], [0b111], [0b111111], [0xFFFF0000]], np.uint64)
    assert near_identical(hashes, max_bits=3).tolist() == [0, 0, 0, 3]
    assert near_identical(hashes, max_bits=2).tolist() == [0, 1, 2, 3]


def test_pictures(tmp_path: Path) -> None:
    few = few_shot(clouds(), shots=(2, 4), draws=100)
    zero = zero_shot(labelled(*tissue()), WordEncoder(), draws=100)
    strong, weak = robustness_index(archive(60.0, 0.0), k=5), robustness_index(archive(0.0, 1.0), k=5)
    for path in (
        draw_few_shot([few, few], tmp_path / "new" / "few.png"),
        draw_zero_shot([zero], tmp_path / "zero.png"),
        draw_robustness([strong, weak], tmp_path / "index.png"),
    ):
        with Image.open(path) as picture:
            assert picture.width > 600
            assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
    with pytest.raises(UsageError, match=r"is no \.png"):
        draw_few_shot([few], tmp_path / "few.svg")
