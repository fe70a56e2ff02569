"""MiniLM: the vectors of sentence-transformers, whatever the batch, the thread or the text."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from slidelake.encoders.text import TextEncoder, create_text_encoder, shared_text_encoder
from slidelake.errors import UsageError

TEXTS = ["Renal cell carcinoma of the left kidney.", "The tumour measures 2.5 cm. " * 80]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return shared_text_encoder("minilm")


def test_vectors_are_those_of_sentence_transformers(encoder: TextEncoder) -> None:
    # Printed by SentenceTransformer(get_model_path()).encode(TEXTS, normalize_embeddings=True)[:, :5].
    expected = [
        [-0.0169459209, 0.0616181828, 0.0086563220, -0.0375633985, -0.0848460719],
        [0.0698687136, -0.0102467733, 0.0189015940, -0.0250010975, -0.0643951967],
    ]
    rows = encoder.encode(TEXTS)
    np.testing.assert_allclose(rows[:, :5], expected, atol=1e-5)


def test_rows_are_unit_float32_in_the_order_of_the_texts(encoder: TextEncoder) -> None:
    texts = ["a long text about margins and nodes " * 20, "short", "", "middle of the road " * 5]
    rows = encoder.encode(texts)
    assert rows.shape == (4, encoder.dim) == (4, 384)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for place, text in enumerate(texts):
        np.testing.assert_allclose(encoder.encode([text])[0], rows[place], atol=1e-6)


def test_the_same_texts_give_the_same_bits(encoder: TextEncoder) -> None:
    assert np.array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))


def test_what_is_beyond_256_tokens_does_not_count(encoder: TextEncoder) -> None:
    long = "cell " * 300
    np.testing.assert_allclose(
        encoder.encode([long + "adenocarcinoma"])[0], encoder.encode([long])[0], atol=1e-6
    )


def test_threads_share_one_encoder(encoder: TextEncoder) -> None:
    alone = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: encoder.encode(TEXTS), range(8)):
            assert np.array_equal(rows, alone)


def test_no_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert create_text_encoder("minilm").encode(["word"]).shape == (1, 384)


def test_nothing_gives_no_rows(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize("text", ["\ud800 broken", "\x00\x07", "é" * 5000, "🔬" * 400])
def test_garbage_is_encoded(encoder: TextEncoder, text: str) -> None:
    assert np.isfinite(encoder.encode([text])).all()


@pytest.mark.parametrize("texts", ["one text", [1], [None], [b"bytes"]])
def test_what_is_no_list_of_texts_is_refused(encoder: TextEncoder, texts: Any) -> None:
    with pytest.raises(UsageError, match="text"):
        encoder.encode(texts)


def test_the_id_names_the_weights(encoder: TextEncoder) -> None:
    assert encoder.id == encoder.spec.encoder_id == "minilm.597f1f08"
    assert len(encoder.spec.weights_sha256) == 64
