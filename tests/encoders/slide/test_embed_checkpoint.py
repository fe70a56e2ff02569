"""Embedding a whole store by a checkpoint: what is committed, what is refused, and what a kill leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import slidelake
from slidelake.encoders.slide import (
    Bags,
    embed,
    load_checkpoint,
    read_bags,
    slide_model_names,
)
from slidelake.encoders.slide.abmil import ABMIL
from slidelake.errors import UnknownAggregatorError, UsageError, WeightsError
from slidelake.kernels import attention_weights
from slidelake.store import FeatureStore, verify
from tests.encoders.slide.bags import ENCODER, GRID, SPACE, counts, put_bag, put_checkpoint


@pytest.fixture
def store(tmp_path):
    return FeatureStore.open(tmp_path / "lake", create=True)


@pytest.fixture
def checkpoint(tmp_path):
    return put_checkpoint(tmp_path / "model.safetensors")


def in_float64(path, features, valid):
    """scores (K, N), attention (K, N) and pooled (K, D) of the checkpoint's ABMIL, by its formula."""
    at = {name: value.double().numpy() for name, value in load_checkpoint(path).model.state_dict().items()}
    h = features.astype(np.float64)
    content, gate, score = (
        lambda x, name=name: x @ at[f"attention.{name}.weight"].T + at[f"attention.{name}.bias"]
        for name in ("tanh", "gate", "score")
    )
    scores = score(np.tanh(content(h)) / (1 + np.exp(-gate(h))))
    scores = np.where(valid[:, None], scores, -np.inf).T
    attention = np.exp(scores - scores.max(1, keepdims=True))
    attention /= attention.sum(1, keepdims=True)
    return scores, attention, attention @ h


def test_scores_lse_and_prediction_of_every_slide(store, checkpoint):
    valid = np.arange(3000) % 7 > 0
    features = {"a": put_bag(store, "a", 3000, valid=valid), "b": put_bag(store, "b", 9, seed=1)}
    report = embed(store, aggregator=checkpoint)
    assert counts(report) == (2, 0, 0)
    assert report.aggregator_id.startswith("abmil.")
    assert report.space == SPACE
    pooled = store.pooled("a", SPACE, "abmil")
    scores, attention, wanted = in_float64(checkpoint, features["a"], valid)
    assert pooled.scores.shape == (2, 3000)
    np.testing.assert_array_equal(np.isneginf(pooled.scores), np.broadcast_to(~valid, (2, 3000)))
    np.testing.assert_allclose(pooled.scores[:, valid], scores[:, valid], atol=2e-5)
    found = attention_weights(*map(torch.from_numpy, (pooled.scores, pooled.lse[None], np.array([0, 3000]))))
    np.testing.assert_allclose(found.numpy(), attention, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(pooled.embedding, wanted, atol=1e-5)
    # What it predicts is kept with the embedding, and what it was trained on.
    head = load_checkpoint(checkpoint).model.head
    logits = head(torch.from_numpy(wanted.reshape(-1)).float()).detach().numpy()
    said = pooled.attributes
    np.testing.assert_allclose(said["logits"], logits, atol=1e-5)
    grown = np.exp(logits - logits.max())
    values = said["prediction"]["values"]
    np.testing.assert_allclose([values["benign"], values["tumour"]], grown / grown.sum(), atol=1e-5)
    assert said["prediction"]["label"] == ["benign", "tumour"][int(logits.argmax())]
    record = pooled.provenance["checkpoint"]
    assert record["task"]["classes"] == ["benign", "tumour"]
    assert record["training"]["snapshot"] == "v1"
    assert record["sha256"] == load_checkpoint(checkpoint).sha256
    assert "slides" not in record["training"]  # a deletion need not look for patients there
    assert [each.slide_id for each in report.predictions] == ["a", "b"]
    assert report.predictions[0].values == values


@pytest.mark.parametrize("name", slide_model_names())
def test_every_slide_encoder_can_embed(store, tmp_path, name):
    """What each of them gives stands up to the checks on its way into the store."""
    valid = np.arange(90) % 4 > 0
    put_bag(store, "a", 90, valid=valid)
    put_bag(store, "one", 1, seed=1)
    path = put_checkpoint(tmp_path / "model.safetensors", name=name)
    report = embed(store, aggregator=path)
    assert report.failed == []
    assert sum(report.predictions[0].values.values()) == pytest.approx(1)
    model = load_checkpoint(path).model
    bags = Bags(
        torch.from_numpy(store.bag("a").features[valid]),
        torch.tensor([0, valid.sum()]),
        coords=torch.from_numpy(store.bag("a").coords[valid]),
    )
    with torch.no_grad():
        alone = model(bags)
    pooled = store.pooled("a", SPACE, name)
    np.testing.assert_allclose(pooled.embedding, alone.embedding[0].numpy(), atol=1e-4, rtol=1e-4)
    assert (pooled.scores is None) == (alone.scores is None)
    if pooled.scores is not None:
        np.testing.assert_allclose(pooled.scores[:, valid], alone.scores.numpy(), atol=1e-3)
        assert np.isneginf(pooled.scores[:, ~valid]).all()


def test_a_second_run_does_nothing_and_predicts_the_same(store, checkpoint):
    put_bag(store, "a", 50)
    put_bag(store, "b", 40, seed=1)
    first = embed(store, aggregator=checkpoint)
    keys = store.objects.list("")
    again = embed(store, aggregator=str(checkpoint))
    assert counts(again) == (0, 2, 0)
    assert again.predictions == first.predictions
    assert store.objects.list("") == keys


def test_a_bag_made_again_and_a_checkpoint_trained_again(store, checkpoint, tmp_path):
    put_bag(store, "a", 50)
    put_bag(store, "b", 40, seed=1)
    first = embed(store, aggregator=checkpoint)
    features = put_bag(store, "a", 50, seed=5)
    assert counts(embed(store, aggregator=checkpoint)) == (1, 1, 0)
    pooled = store.pooled("a", SPACE, first.aggregator_id)
    assert pooled.commit.generation == 2
    np.testing.assert_allclose(
        pooled.embedding, in_float64(checkpoint, features, np.ones(50, bool))[2], atol=1e-5
    )
    other = embed(store, aggregator=put_checkpoint(tmp_path / "other.safetensors", seed=1))
    assert counts(other) == (2, 0, 0)
    assert other.aggregator_id != first.aggregator_id
    assert store.pooled("a", SPACE, first.aggregator_id).commit.generation == 2


@pytest.mark.parametrize("large", [1 << 29, 400])
def test_bags_of_all_sizes_go_through_the_same_memory(store, checkpoint, monkeypatch, large):
    """Read ahead into buffers, or (large ones) when their turn comes: each slide gets its own rows."""
    monkeypatch.setattr(read_bags, "LARGE_BYTES", large)
    sizes = [5, 300, 1, 40, 299, 300, 7, 17]
    features = {f"s{n}": put_bag(store, f"s{n}", rows, seed=n) for n, rows in enumerate(sizes)}
    assert counts(embed(store, aggregator=checkpoint)) == (len(sizes), 0, 0)
    for slide_id, rows in features.items():
        wanted = in_float64(checkpoint, rows, np.ones(len(rows), bool))[2]
        np.testing.assert_allclose(store.pooled(slide_id, SPACE, "abmil").embedding, wanted, atol=1e-5)


def test_a_killed_run_goes_on_where_it_was(tmp_path, checkpoint):
    store = FeatureStore.open(tmp_path / "lake", create=True)
    for n in range(60):
        put_bag(store, f"s{n:03d}", 30, seed=n)
    command = ["embed", "--aggregator", checkpoint, "--store", tmp_path / "lake"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from slidelake.services.cli import main; main()", *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(Path(slidelake.__file__).resolve().parents[1])},
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while sum("~pooled~" in key for key in store.objects.list("commits")) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = sum("~pooled~" in key for key in store.objects.list("commits"))
    assert 3 <= there < 60
    assert counts(embed(store, aggregator=checkpoint)) == (60 - there, there, 0)
    assert verify(store).problems == []
    assert counts(embed(store, aggregator=checkpoint)) == (0, 60, 0)


def test_another_space_is_refused_with_both_fingerprints(store, tmp_path):
    put_bag(store, "a", 5)
    other = put_checkpoint(tmp_path / "uni.safetensors", space=f"{GRID}/uni2-h.89abcdef")
    with pytest.raises(
        UsageError, match=r"trained on .*uni2-h\.89abcdef .*\"uni2-h\".*bags are of .*stain-tex"
    ):
        embed(store, aggregator=other)
    with pytest.raises(UsageError, match=r"trained on .*uni2-h"):
        embed(store, aggregator=other, space=SPACE)
    assert "~pooled~" not in "".join(store.objects.list("commits"))
    # Where its own space is there too, that is the one.
    put_bag(store, "b", 5, encoder_id="uni2-h.89abcdef")
    report = embed(store, aggregator=other)
    assert counts(report) == (1, 0, 0)
    assert report.space == f"{GRID}/uni2-h.89abcdef"


@pytest.mark.parametrize("damage", ["gone", "short", "weights", "text"])
def test_a_damaged_checkpoint_is_refused(store, checkpoint, damage):
    put_bag(store, "a", 5)
    data = checkpoint.read_bytes()
    if damage == "gone":
        checkpoint.unlink()
    elif damage == "text":
        checkpoint.write_text("no tensors")
    elif damage == "short":
        checkpoint.write_bytes(data[:-20])
    else:
        checkpoint.write_bytes(data.replace(b'hidden\\": 8', b'hidden\\": 9'))
        assert checkpoint.read_bytes() != data
    with pytest.raises(WeightsError, match=checkpoint.name):
        embed(store, aggregator=checkpoint)


def test_a_bag_of_another_width_fails_alone(store, checkpoint):
    put_bag(store, "a", 5)
    put_bag(store, "b", 5, dim=13)
    report = embed(store, aggregator=checkpoint)
    assert counts(report) == (1, 0, 1)
    assert report.failed[0][0] == "b"
    assert "13 features a patch" in report.failed[0][1]


def test_an_output_that_is_not_finite_names_its_slide(store, tmp_path):
    put_bag(store, "a", 5)
    features = np.full((4, 12), 60_000, np.float16)
    put_bag(store, "b", 4, features=features)

    def overflow(model):
        with torch.no_grad():
            model.head.weight.fill_(1e37)

    path = put_checkpoint(tmp_path / "model.safetensors", change=overflow)
    report = embed(store, aggregator=path)
    assert counts(report) == (1, 0, 1)
    assert report.failed[0][0] == "b"
    assert "logits hold NaN or infinity" in report.failed[0][1]
    assert store.commit("b", "pooled", GRID, ENCODER, report.aggregator_id) is None


def test_weights_of_nan_are_no_embedding(store, tmp_path):
    put_bag(store, "a", 5)

    def diverged(model):
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))

    path = put_checkpoint(tmp_path / "model.safetensors", change=diverged)
    report = embed(store, aggregator=path)
    assert [slide_id for slide_id, _ in report.failed] == ["a"]
    assert "did it diverge?" in report.failed[0][1]


def test_changed_features_are_not_embedded(store, checkpoint):
    put_bag(store, "a", 300)
    shard = store.objects.local / store.bag("a").commit.attempt / "features" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    report = embed(store, aggregator=checkpoint)
    assert report.made == 0
    assert "does not hold what was committed" in report.failed[0][1]


@pytest.mark.parametrize("fits", [True, False])
def test_out_of_memory_is_done_again_in_bounded_mode(store, checkpoint, monkeypatch, fits):
    """The model's memory is full unless the kernels are told to be frugal, or whatever they are told."""
    put_bag(store, "a", 50)
    put_bag(store, "big", 60, seed=1)
    monkeypatch.delenv("SLIDELAKE_KERNELS", raising=False)
    forward = ABMIL.forward

    def tight(self, bags, targets=None):
        if len(bags.features) == 60 and not (fits and os.environ.get("SLIDELAKE_KERNELS") == "chunked"):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, bags, targets)

    monkeypatch.setattr(ABMIL, "forward", tight)
    report = embed(store, aggregator=checkpoint)
    assert "SLIDELAKE_KERNELS" not in os.environ
    if fits:
        assert counts(report) == (2, 0, 0)
        assert report.notes == [("big", "out of memory: done by chunked kernels on cpu")]
    else:
        assert counts(report) == (1, 0, 1)
        assert report.failed[0][1].startswith("60 rows of 12 features do not fit into memory")


def test_a_models_error_is_not_taken_for_memory(store, checkpoint, monkeypatch):
    put_bag(store, "a", 5)

    def broken(self, bags, targets=None):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ABMIL, "forward", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        embed(store, aggregator=checkpoint)


def test_a_snapshot_gives_slides_and_bags_and_the_lake_takes_the_embeddings(store, checkpoint):
    put_bag(store, "a", 5)
    put_bag(store, "b", 6)
    store.snapshots.create("v1")
    put_bag(store, "b", 6, seed=9)
    put_bag(store, "c", 7)
    report = embed(store, aggregator=checkpoint, snapshot="v1")
    assert counts(report) == (1, 0, 1)
    assert report.failed[0][0] == "b"
    assert "made again since the snapshot" in report.failed[0][1]
    assert store.commit("a", "pooled", GRID, ENCODER, report.aggregator_id) is not None
    assert store.commit("c", "pooled", GRID, ENCODER, report.aggregator_id) is None
    with pytest.raises(UsageError, match="snapshot v1 cannot be written"):
        embed(store.at("v1"), aggregator=checkpoint)


def test_names_that_are_no_checkpoint(store, tmp_path):
    put_bag(store, "a", 5)
    with pytest.raises(UnknownAggregatorError, match="abmil has to be trained first"):
        embed(store, aggregator="abmil")
    with pytest.raises(WeightsError, match="no checkpoint"):
        embed(store, aggregator=tmp_path / "nowhere.safetensors")
    with pytest.raises(UsageError, match="'gpu' is not a device"):
        embed(store, aggregator=put_checkpoint(tmp_path / "m.safetensors"), device="gpu")


@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu(store, checkpoint):
    valid = np.arange(3000) % 7 > 0
    features = put_bag(store, "a", 3000, valid=valid)
    assert counts(embed(store, aggregator=checkpoint, device="cuda")) == (1, 0, 0)
    pooled = store.pooled("a", SPACE, "abmil")
    scores, _, wanted = in_float64(checkpoint, features, valid)
    np.testing.assert_allclose(pooled.scores[:, valid], scores[:, valid], atol=0.02)  # TF32 or bf16 products
    np.testing.assert_allclose(pooled.embedding, wanted, atol=0.02)
    assert pooled.provenance["checkpoint"]["device"] == "cuda"
