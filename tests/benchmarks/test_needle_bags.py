"""Bags with a needle: nothing of a held-out patient is in training, and a label tells of planted rows alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import mil_needle
from benchmarks.needle_bags import NEEDLE, Atlas, commit_slides, draw_slides
from slidelake.encoders import create_encoder
from slidelake.encoders.slide import Checkpoint, create_slide_model, save_checkpoint
from slidelake.store import FeatureStore
from slidelake.store.streaming import Classification, Labels, make_splits

PATIENTS, SLIDES, ROWS, PLANTED, DIM = 6, 4, 60, 3, 8
TISSUES = (NEEDLE, "stroma", "fat", "mucin")


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    """Ten patches of each tissue and patient; needles point along the first axis, others away from it."""
    generator = np.random.default_rng(0)
    labels = np.tile(np.repeat(TISSUES, 10), PATIENTS)
    patients = np.repeat([f"P{number}" for number in range(PATIENTS)], 10 * len(TISSUES))
    rows = generator.normal(0, 0.1, (len(labels), DIM))
    rows[:, 0] = np.where(labels == NEEDLE, 1, -1)
    return Atlas(rows.astype(np.float16), labels, patients, create_encoder("stain-texture").spec.encoder_id)


def test_half_of_each_patients_slides_hold_needles_and_only_those(atlas):
    slides = draw_slides(atlas, slides=SLIDES, rows=ROWS, planted=PLANTED, seed=1)
    assert len({slide.slide_id for slide in slides}) == len(slides) == PATIENTS * SLIDES
    for slide in slides:
        assert len(slide.patches) == ROWS
        np.testing.assert_array_equal(slide.planted, atlas.labels[slide.patches] == NEEDLE)
        assert slide.planted.sum() == (PLANTED if slide.positive else 0)
        assert set(atlas.patients[slide.patches]) == {slide.patient_id}
    for patient in set(atlas.patients):
        assert sum(slide.positive for slide in slides if slide.patient_id == patient) == SLIDES // 2


def test_patients_have_mixtures_of_their_own_and_seeds_other_bags(atlas):
    slides = draw_slides(atlas, slides=20, rows=2000, planted=PLANTED, seed=1)
    shares = np.array(
        [[(atlas.labels[slide.patches] == each).mean() for each in TISSUES[1:]] for slide in slides]
    ).reshape(PATIENTS, 20, -1)
    assert shares.mean(1).std(0).min() > 2 * shares.std(1).mean() / np.sqrt(20)
    again, other = (draw_slides(atlas, slides=2, rows=ROWS, planted=1, seed=seed) for seed in (1, 2))
    once = draw_slides(atlas, slides=2, rows=ROWS, planted=1, seed=1)
    for one, same, unlike in zip(once, again, other, strict=True):
        np.testing.assert_array_equal(one.patches, same.patches)
        assert (one.patches != unlike.patches).any()


def test_a_patient_without_the_tissue_is_left_out(atlas):
    lacking = (atlas.patients == "P0") & (atlas.labels == NEEDLE)
    kept = Atlas(atlas.rows[~lacking], atlas.labels[~lacking], atlas.patients[~lacking], atlas.encoder_id)
    slides = draw_slides(kept, slides=2, rows=ROWS, planted=1, seed=0)
    assert {slide.patient_id for slide in slides} == {f"P{number}" for number in range(1, PATIENTS)}
    with pytest.raises(ValueError, match="no patient"):
        draw_slides(kept, slides=2, rows=ROWS, planted=1, seed=0, needle="bone")


def test_a_lake_of_them_and_what_attention_finds(atlas, tmp_path: Path):
    slides = draw_slides(atlas, slides=SLIDES, rows=ROWS, planted=PLANTED, seed=1)
    store = FeatureStore.open(tmp_path / "lake", create=True)
    space = commit_slides(store, atlas, slides)
    for slide in slides[:3]:
        bag = store.bag(slide.slide_id, space)
        np.testing.assert_array_equal(bag.features, atlas.rows[slide.patches])
    labels = Labels.read(store, Classification("needle", ["absent", "present"]))
    assert [labels.target_of(slide.slide_id) for slide in slides] == [slide.positive for slide in slides]

    splits = make_splits(store, labels=labels, parts={"train": 0.5, "test": 0.5}, seed=0)
    patches: dict[str, set[int]] = {}
    for part in ("train", "test"):
        held = set(splits.part(part))
        patches[part] = {int(each) for slide in slides if slide.slide_id in held for each in slide.patches}
    assert patches["train"]
    assert patches["test"]
    assert not patches["train"] & patches["test"]

    # Attention that rises along the first axis finds every needle; one that falls finds them last.
    found = []
    for sign in (1.0, -1.0):
        model = create_slide_model("abmil", dim=DIM, outputs=2, hidden=1)
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if name.startswith("attention"):
                    value.zero_()
                    if name.endswith("tanh.weight"):
                        value[0, 0] = 1
                    if name.endswith("score.weight"):
                        value[0, 0] = sign
        path = tmp_path / f"{sign}.safetensors"
        save_checkpoint(path, Checkpoint(model, space, {"kind": "classification"}))
        found.append(mil_needle.attention_precision(store, splits, path, slides))
    assert found[0] == pytest.approx(1.0)
    assert found[1] < 2 * PLANTED / ROWS
