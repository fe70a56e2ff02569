"""What every aggregator must satisfy, and what each of ours is."""

import numpy as np
import pytest

from slidelake.encoders.slide import Block, aggregator_names, create_aggregator
from slidelake.errors import UnknownAggregatorError

ENCODER = "stain-texture.0123abcd"


def blocks_of(features, valid, size):
    return [Block(features[i : i + size], valid[i : i + size]) for i in range(0, len(features), size)]


def bag(rows=500, dim=24, dtype=np.float16, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, dim)).astype(dtype)
    valid = generator.random(rows) < 0.8
    features[~valid] = 0
    return features, valid


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", aggregator_names())
def test_left_out_rows_do_not_count_and_blocks_do_not_matter(name, dtype):
    features, valid = bag(dtype=dtype)
    encoder = create_aggregator(name, encoder_id=ENCODER)
    whole = encoder.encode(blocks_of(features, valid, 500))
    assert whole.embedding.dtype == np.float32
    assert whole.embedding.shape == (1, 24)
    assert (whole.scores is None) == (whole.lse is None)
    kept = encoder.encode([Block(features[valid], np.ones(valid.sum(), bool))])
    np.testing.assert_allclose(whole.embedding, kept.embedding, rtol=1e-6)
    for size in (1, 7, 128):
        parts = encoder.encode(blocks_of(features, valid, size))
        np.testing.assert_allclose(parts.embedding, whole.embedding, rtol=1e-6)
    np.testing.assert_array_equal(encoder.encode(blocks_of(features, valid, 7)).embedding,
                                  encoder.encode(blocks_of(features, valid, 7)).embedding)  # fmt: skip


@pytest.mark.parametrize("name", aggregator_names())
def test_a_bag_without_a_valid_row_is_refused(name):
    encoder = create_aggregator(name, encoder_id=ENCODER)
    for blocks in ([], blocks_of(np.zeros((5, 3), np.float16), np.zeros(5, bool), 2)):
        with pytest.raises(ValueError, match="without a valid row"):
            encoder.encode(blocks)


def test_mean_and_max_are_those_of_the_valid_rows():
    features, valid = bag()
    exact = features[valid].astype(np.float64)
    mean = create_aggregator("mean", encoder_id=ENCODER).encode(blocks_of(features, valid, 64))
    np.testing.assert_array_equal(mean.embedding[0], exact.mean(0).astype(np.float32))
    largest = create_aggregator("max", encoder_id=ENCODER).encode(blocks_of(features - 9, valid, 64))
    np.testing.assert_array_equal(largest.embedding[0], (features - 9)[valid].max(0))


def test_mean_of_many_half_floats_does_not_overflow():
    features = np.full((3000, 2), 60_000, np.float16)
    mean = create_aggregator("mean", encoder_id=ENCODER).encode(
        blocks_of(features, np.ones(3000, bool), 1000)
    )
    np.testing.assert_array_equal(mean.embedding, np.float32(features[:1]))


def test_ids_are_golden():
    """An id that changes makes every stored embedding another's: FORMAT.md, "Ids"."""
    found = {
        name: create_aggregator(name, encoder_id=ENCODER).spec.aggregator_id for name in aggregator_names()
    }
    assert found == {"max": "max.287cad8f", "mean": "mean.aaeced77"}
    other = create_aggregator("mean", encoder_id="uni2-h.0123abcd").spec.aggregator_id
    assert other != found["mean"]


def test_names_nobody_knows():
    assert aggregator_names() == ["max", "mean"]
    with pytest.raises(UnknownAggregatorError, match=r"'meen'.*Did you mean mean\? Use one of: max, mean"):
        create_aggregator("meen", encoder_id=ENCODER)
    with pytest.raises(UnknownAggregatorError, match=r"Use one of: max, mean"):
        create_aggregator("abmil", encoder_id=ENCODER)
