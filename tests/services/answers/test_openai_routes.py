"""The routes that OpenAI's clients know, by OpenAI's own client against a server on a real socket."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
import uvicorn
from PIL import Image

from slidelake.services.answers import NOTICE
from slidelake.services.api import create_app
from tests.services.answers.endpoint_server import endpoint_server, says

QUESTION = [{"role": "user", "content": "Which patient had a renal vein thrombus?"}]


@pytest.fixture(scope="module")
def base(lake) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(lake), port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def client(base) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def test_a_completion_holds_text_sources_and_annotations(client, base):
    made = client.chat.completions.create(model="slidelake", messages=QUESTION, temperature=0.3, seed=4)
    message = made.choices[0].message
    assert "thrombus" in message.content
    assert "\n\nSources\n[1] report R0" in message.content
    assert message.content.count(NOTICE) == 1
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 0
    for annotation in message.annotations:
        cited = annotation.url_citation
        assert message.content[cited.start_index : cited.end_index] == "[1]"
        assert cited.url.startswith(f"{base}/#/reports/R0?start=")
    extension = made.model_extra["slidelake"]
    assert [each["n"] for each in extension["citations"]] == list(range(1, len(extension["citations"]) + 1))


@pytest.mark.parametrize("written", [None, ("It had [2] none. ", "The vein held ", "it [1]. Or [9] not.")])
def test_a_stream_gives_the_same_text_and_numbers(client, written, monkeypatch):
    with endpoint_server(says(*(written or ()))) as server:
        if written:
            monkeypatch.setenv("SLIDELAKE_LLM_URL", server.url)
            monkeypatch.setenv("SLIDELAKE_LLM_MODEL", "m")
        whole = client.chat.completions.create(model="slidelake", messages=QUESTION)
        chunks = list(
            client.chat.completions.create(
                model="slidelake", messages=QUESTION, stream=True, stream_options={"include_usage": True}
            )
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    last = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason == "stop")
    annotations = last.choices[0].delta.model_extra["annotations"]
    assert annotations == [each.model_dump() for each in whole.choices[0].message.annotations]
    assert last.model_extra["slidelake"]["citations"] == whole.model_extra["slidelake"]["citations"]
    assert chunks[-1].usage == whole.usage


def test_a_stream_ends_with_done(base):
    body = {"model": "slidelake", "messages": QUESTION, "stream": True}
    answer = httpx.post(f"{base}/v1/chat/completions", json=body, timeout=60)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


def test_embeddings_are_unit_vectors_in_both_encodings(client):
    texts = ["renal cell carcinoma", "kidney cancer", "a football match"]
    plain = client.embeddings.create(model="slidelake", input=texts, encoding_format="float")
    packed = client.embeddings.create(model="minilm", input=texts, encoding_format="base64")
    vectors = np.array([each.embedding for each in plain.data], np.float32)
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    unpacked = [np.frombuffer(base64.b64decode(each.embedding), "<f4") for each in packed.data]
    np.testing.assert_array_equal(np.stack(unpacked), vectors)
    assert plain.usage.prompt_tokens > 0


def test_models(client):
    assert {each.id for each in client.models.list()} == {"slidelake", "minilm"}
    assert client.models.retrieve("slidelake").owned_by == "slidelake"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "no model"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, openai.BadRequestError, "no question"),
        ({"messages": [{"role": "user", "content": " "}]}, openai.BadRequestError, "empty"),
        ({"messages": [{"role": "user", "content": "x" * 100_000}]}, openai.BadRequestError, "characters"),
        ({"messages": QUESTION, "stream": True, "extra_body": {"slidelake": {"k": 0}}}, openai.BadRequestError, "k=0"),
        ({"extra_body": {"slidelake": {"slide": "S99"}}}, openai.NotFoundError, "S99"),
        ({"extra_body": {"slidelake": {"slide": "S0", "x": 3}}}, openai.BadRequestError, "x and y"),
    ],
)  # fmt: skip
def test_errors_have_openais_form(client, change, error, said):
    with pytest.raises(error, match=said) as caught:
        client.chat.completions.create(**{"model": "slidelake", "messages": QUESTION, **change})
    assert {"message", "type", "param", "code"} <= set(caught.value.body)


def picture(width=256, height=256, kind="PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 120, 160)).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/secret.png", "data:image"),
        ("file:///etc/passwd", "data:image"),
        ("data:image/png;base64,!!!!", "no base64"),
        ("data:image/png;base64,AAAA", "cannot be read"),
        (picture(8000, 8000), "px"),
        ("data:image/png;base64," + "A" * (12 * 2**20), "MiB"),
        (picture(), "encoder"),
    ],
    ids=["remote", "file", "no base64", "no picture", "too many pixels", "too many bytes", "unknown encoder"],
)
def test_pictures_are_bounded_and_searched_for(client, url, said):
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.APIStatusError, match=said):
        client.chat.completions.create(model="slidelake", messages=[{"role": "user", "content": parts}])


def test_ask_answers_about_a_patch(base):
    body = {
        "question": "What was the diagnosis?",
        "slide": "S0",
        "x": 10,
        "y": 10,
        "exclude_own_report": True,
    }
    answer = httpx.post(f"{base}/api/ask", json=body, timeout=60).json()
    assert answer["citations"]
    assert all(each["slide_id"] != "S0" and each["width"] == 512 for each in answer["citations"])
    assert answer["notice"] == NOTICE


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"question": ""}, 400),
        ({"question": "x" * 100_000}, 400),
        ({"question": "kidney?", "k": 1000}, 400),
        ({"question": "kidney?", "slide": "../../etc"}, 404),
        ({"question": "kidney?", "endpoint": "http://evil.example"}, 422),
        ({}, 422),
    ],
)
def test_ask_refuses(base, body, status):
    answer = httpx.post(f"{base}/api/ask", json=body, timeout=60)
    assert answer.status_code == status
    assert set(json.loads(answer.text)["error"]) == {"kind", "problem", "remedy", "slide"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("chat/completions", b'{"messages": [{"role": "user", "content": "\\ud800 carcinoma"}]}', 400),
        ("chat/completions", b"[" * 100_000, 400),
        ("embeddings", b"\xff\xfe", 400),
        ("embeddings", b'{"input": ["' + b'","' * 110_000 + b'"]}', 413),
    ],
)
def test_bodies_that_cannot_be_read_are_told_in_openai_s_form(base, path, body, status):
    answer = httpx.post(f"{base}/v1/{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
