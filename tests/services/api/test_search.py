"""Searches over HTTP: every kind, what is refused, and what a deletion or a stale index does to them."""

import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from slidelake.encoders import EncoderSpec, register, registry
from slidelake.services.lake import Lake
from slidelake.store import FeatureStore
from tests.index.lakes import DIM, FOOTPRINT, GRID, SPACE, features, make_lake, put_pooled, put_slide
from tests.services.api.lakes import error, served

F = FOOTPRINT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Six slides of twelve patches with metadata of each kind; tests that change anything make their own."""
    store = make_lake(tmp_path_factory.mktemp("search") / "lake")
    for n in range(6):
        put_pooled(store, f"S{n}")
    lake = Lake(store)
    lake.index.sync()
    return lake


@pytest.fixture(scope="module")
def asked(made: Lake) -> Iterator[TestClient]:
    with served(made, max_k=50) as client:
        yield client


def patches(client: TestClient, query: Any, status: int = 200, **more: Any) -> dict[str, Any]:
    return found(client, "/api/search/patches", {"query": query, **more}, status)


def slides(client: TestClient, query: Any, status: int = 200, **more: Any) -> dict[str, Any]:
    return found(client, "/api/search/slides", {"query": query, **more}, status)


def found(client: TestClient, path: str, body: Any, status: int) -> dict[str, Any]:
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    return dict(answer.json()) if status == 200 else error(answer)


def test_a_patch_finds_patches(asked: TestClient, made: Lake) -> None:
    told = patches(asked, {"slide": "S2", "x": 3 * F + 17, "y": F + 4}, k=5, exclude_same_patient=True)
    assert (told["space"], told["kind"], told["exact"], told["notes"]) == (SPACE, "patch", True, [])
    assert {name: told["query"][name] for name in ("slide_id", "patient_id", "row", "x", "y")} == {
        "slide_id": "S2",
        "patient_id": "P1",
        "row": 9,
        "x": 3 * F,
        "y": F,
    }
    assert told["took_ms"] > 0
    truth = made.index.search_patch("S2", 3 * F, F, k=5, exclude_same_patient=True, exact=True)
    assert [(hit["slide_id"], hit["row"], hit["score"]) for hit in told["hits"]] == [
        (hit.slide_id, hit.row, hit.score) for hit in truth
    ]
    first = told["hits"][0]
    assert (first["footprint"], first["mpp"], first["metadata"]) == ([F, F], 0.5, truth[0].metadata)
    assert first["link"] == f"/#/slides/{first['slide_id']}?x={first['x']}&y={first['y']}&w={F}&h={F}"
    place = f"x={first['x']}&y={first['y']}&space=256px-0.5mpp%2Ftoy.0123abcd"
    assert first["patch"] == f"/api/slides/{first['slide_id']}/patch.jpeg?{place}"


def test_urls_lie_under_the_prefix(made: Lake) -> None:
    with served(made, prefix="/lake") as client:
        told = patches(client, {"slide": "S0", "x": 1, "y": 1}, k=1)
        assert told["hits"][0]["patch"].startswith("/lake/api/slides/")
        assert slides(client, {"slide": "S0"}, k=1)["hits"][0]["thumbnail"].startswith("/lake/api/slides/")


def test_a_region_finds_patches_and_slides(asked: TestClient, made: Lake) -> None:
    box = {"slide": "S1", "box": [0, 0, 2 * F, 2 * F]}
    told = patches(asked, {"region": box}, k=9, where={"age": {">=": 45}, "site": ["lung", "larynx"]})
    assert told["query"]["patches"] == 4
    assert {hit["metadata"]["site"] for hit in told["hits"]} <= {"lung", "larynx"}
    own = [hit for hit in told["hits"] if hit["slide_id"] == "S1"]
    assert not {hit["row"] for hit in own} & {0, 1, 6, 7}
    polygon = {"slide": "S1", "polygon": [[0, 0], [2 * F, 0], [2 * F, 2 * F], [0, 2 * F]]}
    same = patches(asked, {"region": polygon}, k=9, where={"age": {">=": 45}, "site": ["lung", "larynx"]})
    assert same["hits"] == told["hits"]
    ranked = slides(asked, {"region": box})
    assert ranked["kind"] == "region"
    assert [hit["slide_id"] for hit in ranked["hits"]] == [
        hit.slide_id for hit in made.index.search_region("S1", box=(0, 0, 2 * F, 2 * F), find="slides")
    ]
    assert "row" not in ranked["hits"][0]


def test_slides_by_slide_and_vector(asked: TestClient, made: Lake) -> None:
    told = slides(asked, {"slide": "S0"}, k=3, exclude_same_patient=True)
    assert {"S0", "S1"}.isdisjoint(hit["slide_id"] for hit in told["hits"])
    assert told["hits"][0]["link"] == f"/#/slides/{told['hits'][0]['slide_id']}"
    embedding = np.asarray(made.store.pooled("S3", SPACE, "mean.4567cdef").embedding[0], float).tolist()
    told = slides(asked, {"vector": embedding}, aggregator="mean.4567cdef")
    assert (told["hits"][0]["slide_id"], round(told["hits"][0]["score"], 5)) == ("S3", 1)
    assert slides(asked, {"slide": "S0"}, 400, aggregator="other")["kind"] == "QueryError"
    assert slides(asked, {"vector": [1.0] * DIM}, 400, aggregator="other")["kind"] == "QueryError"


def test_a_vector_finds_patches(asked: TestClient) -> None:
    told = patches(asked, {"vector": features(4)[8].astype(float).tolist()}, k=1)
    assert (told["hits"][0]["slide_id"], told["hits"][0]["row"]) == ("S4", 8)
    assert "3 dimensions" in patches(asked, {"vector": [1, 2, 3]}, 400)["problem"]
    assert "zeros" in patches(asked, {"vector": [0] * DIM}, 400)["problem"]
    assert "no patient" in patches(asked, {"vector": [1] * DIM}, 400, exclude_same_patient=True)["problem"]


def png(side: int = 256, mode: str = "RGB") -> str:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(120, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_an_image_finds_patches(client: TestClient) -> None:
    told = patches(client, {"image": png(), "mpp": 0.5}, k=4)
    assert (told["kind"], len(told["hits"])) == ("image", 4)
    assert (
        patches(client, {"image": f"data:image/png;base64,{png()}", "mpp": 0.5}, k=4)["hits"] == told["hits"]
    )
    assert any("was taken to be at" in note for note in patches(client, {"image": png(300)})["notes"])


@pytest.mark.parametrize(
    "image",
    [
        "",
        "not base64!",
        base64.b64encode(b"GIF89a nonsense").decode(),
        png(16),
        png(64, "I;16"),
        "%00",
        "data:;base64,",
    ],
)
def test_what_is_no_image_is_refused(client: TestClient, image: str) -> None:
    assert patches(client, {"image": image}, 400)["kind"] == "QueryError"


def test_an_image_bomb_is_refused_unopened(client: TestClient) -> None:
    said = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + said + struct.pack(">I", zlib.crc32(said))
    bomb = head + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    assert "more pixels" in patches(client, {"image": base64.b64encode(bomb).decode()}, 400)["problem"]
    # Formats whose decoders start other programs are not tried.
    postscript = base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\nshowpage\n").decode()
    assert "not an image that can be read" in patches(client, {"image": postscript}, 400)["problem"]


def test_words_need_an_encoder_that_reads(client: TestClient) -> None:
    told = patches(client, {"text": "necrosis"}, 400)
    assert "reads images alone" in told["problem"]
    assert "encode_text" in told["remedy"]


class _Bilingual:
    """An encoder of images and words: each is where its colour is."""

    spec = EncoderSpec(name="bilingual", dim=3)

    def encode(self, patches: np.ndarray) -> np.ndarray:
        return np.asarray(patches.mean(axis=(1, 2)), np.float32)

    def encode_text(self, texts: list[str]) -> np.ndarray:
        words = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1]}
        return np.array([words[text] for text in texts], np.float32)


def test_words_find_patches_where_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    register("bilingual")(lambda *, weights=None, device="auto": _Bilingual())
    name = _Bilingual.spec.encoder_id
    store = FeatureStore.open(tmp_path / "lake", create=True)
    put_slide(store, "S0", np.eye(3, dtype=np.float16) + np.float16(0.1), encoder=name)
    lake = Lake(store)
    lake.index.sync()
    with served(lake) as client:
        for row, word in enumerate(("red", "green", "blue")):
            told = patches(client, {"text": word}, k=1)
            assert (told["kind"], told["hits"][0]["row"]) == ("text", row)
    assert lake.search(text="blue", k=1)[0].row == 2


@pytest.mark.parametrize(
    "query",
    [
        {},
        7,
        None,
        {"slide": "S1"},
        {"slide": "S1", "x": 5},
        {"x": 5, "y": 5},
        {"slide": "S1", "x": "here", "y": 5},
        {"slide": "S1", "x": 1e300, "y": 5},
        {"slide": "S1", "x": 5, "y": 5, "vector": [1]},
        {"vector": []},
        {"vector": [1] * 20_000},
        {"vector": ["a"]},
        {"vector": [[1]]},
        {"image": "AAAA", "text": "x"},
        {"text": "x", "mpp": 0.5},
        {"text": ""},
        {"text": "x" * 3000},
        {"region": {"slide": "S1"}},
        {"region": {"slide": "S1", "box": [0, 0, 1]}},
        {"region": {"slide": "S1", "box": [0, 0, 1, 1], "polygon": [[0, 0], [1, 1], [2, 2]]}},
        {"region": {"slide": "S1", "polygon": [[0, 0], [1, 1]]}},
        {"region": {"slide": "S1", "polygon": [[0, 0]] * 10_001}},
        {"region": {"slide": "S1", "polygon": [[0, 0, 0]] * 4}},
        {"region": {"box": [0, 0, 1, 1]}},
        {"slide": "S1", "x": 5, "y": 5, "where": "1=1"},
    ],
)
def test_what_is_no_query_is_refused(asked: TestClient, query: Any) -> None:
    assert patches(asked, query, 422)["kind"] == "ValidationError"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(asked: TestClient, number: str) -> None:
    for body in (
        f'{{"query": {{"slide": "S1", "x": {number}, "y": 0}}}}',
        f'{{"query": {{"vector": [{number}]}}}}',
        f'{{"query": {{"region": {{"slide": "S1", "box": [0, 0, {number}, 9]}}}}}}',
    ):
        answer = asked.post("/api/search/patches", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
        error(answer)


def test_places_without_a_patch_say_where_one_is(asked: TestClient) -> None:
    told = patches(asked, {"slide": "S1", "x": 99_999, "y": 0}, 400)
    assert (told["slide"], "nearest patch" in told["remedy"]) == ("S1", True)
    told = patches(asked, {"region": {"slide": "S1", "box": [90_000, 0, 9, 9]}}, 400)
    assert (told["slide"], "nearest patch" in told["remedy"]) == ("S1", True)
    told = patches(asked, {"region": {"slide": "S1", "box": [0, 0, 0, 9]}}, 400)
    assert "above 0" in told["problem"]


@pytest.mark.parametrize("slide", ["S9", "../S1", "..%2fS1", "S1/../S2", "a\u0000b", "\ud800", "x" * 290])
def test_slides_that_are_none(asked: TestClient, slide: str) -> None:
    body = json.dumps({"query": {"slide": slide, "x": 1, "y": 1}})
    answer = asked.post("/api/search/patches", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 404, 422), answer.text
    error(answer)


def test_how_many_hits(asked: TestClient) -> None:
    place = {"slide": "S1", "x": 5, "y": 5}
    assert len(patches(asked, place, k=50)["hits"]) == 50
    assert "50 at most" in patches(asked, place, 400, k=51)["remedy"]
    for k in (0, -1, 1.5, "many", 10**9):
        patches(asked, place, 422, k=k)


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ({"nothing": 1}, 400),
        ({"age": "old"}, 400),
        ({"site": 7}, 400),
        ({"fixed": {">": True}}, 400),
        ({"site": "x' OR '1'='1"}, 200),
        ({"site": '"; DROP TABLE slides; --'}, 200),
        ({"site": ["lung"] * 6000}, 422),
        ({"age": {"~": 3}}, 422),
        ({"age": {">=": None}}, 422),
        ("site = 'lung'", 422),
        ({str(n): 1 for n in range(60)}, 422),
    ],
)
def test_filters(asked: TestClient, where: Any, status: int) -> None:
    told = patches(asked, {"slide": "S1", "x": 5, "y": 5}, status, where=where)
    if status == 200:
        assert told["hits"] == []


def test_spaces_and_tables_that_are_not_there(asked: TestClient, tmp_path: Path) -> None:
    place = {"slide": "S1", "x": 5, "y": 5}
    assert patches(asked, place, 404, space="other/space")["kind"] == "UnknownSpaceError"
    assert len(patches(asked, place, space="toy")["hits"]) == 20
    with served(Lake(make_lake(tmp_path / "lake", slides=2))) as client:
        assert patches(client, place, 409)["kind"] == "IndexMissingError"


def test_a_stale_index_is_said_and_a_sync_mends_it(tmp_path: Path) -> None:
    lake = Lake(make_lake(tmp_path / "lake", slides=3))
    lake.index.sync()
    with served(lake) as client:
        place = {"slide": "S0", "x": 1, "y": 1}
        assert patches(client, place)["notes"] == []
        put_slide(lake.store, "NEW", features(0))
        put_slide(lake.store, "S1", features(5))
        told = patches(client, {"region": {"slide": "S0", "box": [0, 0, 9 * F, 9 * F]}}, k=100)
        notes = " ".join(told["notes"])
        assert {hit["slide_id"] for hit in told["hits"]} == {"S2"}
        assert "not in the index yet" in notes
        assert "changed since" in notes
        assert client.post("/api/index/sync").status_code == 200
        told = patches(client, place, k=100)
        assert (told["notes"], len(told["hits"])) == ([], 47)


def test_deleting_while_searching(tmp_path: Path) -> None:
    """Searches run while a slide goes: each is answered, and none that begins afterwards shows it."""
    lake = Lake(make_lake(tmp_path / "lake", slides=6))
    lake.index.sync()
    with served(lake) as client:
        place, stop, wrong = {"slide": "S0", "x": 1, "y": 1}, threading.Event(), []

        def search() -> None:
            while not stop.is_set():
                answer = client.post("/api/search/patches", json={"query": place, "k": 100})
                if answer.status_code != 200:
                    wrong.append(answer.text)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert client.delete("/api/slides/S3", params={"confirm": "S3"}).status_code == 200
        after = patches(client, place, k=100)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert "S3" not in {hit["slide_id"] for hit in after["hits"]}
        assert patches(client, {"slide": "S3", "x": 1, "y": 1}, 404)["kind"] == "UnknownSlideError"
        assert len(patches(client, place, k=100)["hits"]) == 5 * 12 - 1


def test_who_searched_is_audited(made: Lake, tmp_path: Path) -> None:
    with served(made, audit=tmp_path / "audit.jsonl") as client:
        patches(client, {"slide": "S1", "x": 5, "y": 5}, k=3)
        slides(client, {"slide": "S1"}, k=2)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["action"], line["kind"], line["slide"], line["hits"]) for line in lines] == [
        ("search", "patch", "S1", 3),
        ("search", "slide", "S1", 2),
    ]


def test_imported_features_have_no_size_to_show(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    facts: dict[str, Any] = {"spec": {"patch_px": 256}}
    put_slide(store, "S0", features(0), facts=facts)
    lake = Lake(store)
    lake.index.sync()
    with served(lake) as client:
        hit = patches(client, {"vector": [1.0] * DIM}, k=1, space=f"{GRID}/toy.0123abcd")["hits"][0]
    assert (hit["footprint"], hit["mpp"]) == (None, None)
    assert "&w=" not in hit["link"]
