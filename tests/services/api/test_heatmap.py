"""Heatmaps over HTTP: each kind against numbers made another way, the picture's colours, and what is refused."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from slidelake.services.heatmap.colours import colour_table
from slidelake.services.lake import Lake
from slidelake.store import FeatureStore
from tests.index.lakes import ENCODER, FOOTPRINT, GRID, SPACE, features, make_lake, put_slide
from tests.services.api.lakes import error, served

F = FOOTPRINT
ATTENTION = "abmil.89abcdef"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    store = make_lake(tmp_path_factory.mktemp("heatmap") / "lake", slides=3)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 12)).astype(np.float32)
    store.put_pooled(
        "S1",
        SPACE,
        ATTENTION,
        embedding=rng.normal(size=(2, 4)).astype(np.float32),
        scores=scores,
        lse=np.log(np.exp(scores).sum(axis=1)).astype(np.float32),
        provenance={"aggregator": ATTENTION, "bag": store.bag("S1", SPACE).commit.attempt},
    )
    broken = np.ones(12, bool)
    broken[4] = False
    put_slide(store, "GAPS", features(2), valid=broken)
    return Lake(store)


@pytest.fixture(scope="module")
def asked(made: Lake) -> Iterator[TestClient]:
    with served(made) as client:
        yield client


def heatmap(client: TestClient, slide: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/slides/{slide}/heatmap", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json()) if status == 200 else error(answer)


def picture(told: dict[str, Any]) -> np.ndarray:
    """(h, w, 4) RGBA."""
    head, _, data = told["image"].partition(",")
    assert head == "data:image/png;base64"
    return rgba(base64.b64decode(data))


def rgba(png: bytes) -> np.ndarray:
    bgra = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert bgra is not None
    return np.asarray(bgra[..., [2, 1, 0, 3]])


def test_a_column(asked: TestClient) -> None:
    told = heatmap(asked, "S1", kind="column", column="blur")  # 0, 1, … 11 in two lines of six
    shown = picture(told)
    assert shown.shape == (2, 6, 4)
    assert (shown[..., 3] == 255).all()
    table = colour_table("viridis")
    places = np.clip(np.floor(np.arange(12) / 11 * 256), 0, 255).astype(int)
    assert np.array_equal(shown[..., :3].reshape(-1, 3), table[places])
    assert (told["minimum"], told["maximum"], told["rows"]) == (0, 11, 12)
    assert told["bounds"] == {"x": 0, "y": 0, "width": 6 * F, "height": 2 * F}
    assert told["colours"][0] == {"at": 0, "colour": "#440154"}
    assert told["colours"][-1] == {"at": 11, "colour": "#fde725"}
    assert [stop["at"] for stop in told["colours"]] == pytest.approx(np.linspace(0, 11, 9))
    assert "blur" in told["label"]


def test_one_value_alone_has_one_colour(asked: TestClient) -> None:
    told = heatmap(asked, "S1", kind="column", column="tissue", colours="cividis")
    assert (told["minimum"], told["maximum"], len(told["colours"])) == (200, 200, 1)
    (colour,) = {tuple(pixel) for pixel in picture(told)[..., :3].reshape(-1, 3).tolist()}
    assert told["colours"][0]["colour"] == "#{:02x}{:02x}{:02x}".format(*colour)


@pytest.mark.parametrize("show", ["rank", "attention", "score"])
def test_attention(asked: TestClient, made: Lake, show: str) -> None:
    pooled = made.store.pooled("S1", SPACE, ATTENTION)
    assert pooled.scores is not None
    assert pooled.lse is not None
    for branch in (0, 1):
        told = heatmap(asked, "S1", kind="attention", aggregator="abmil", show=show, branch=branch)
        score = pooled.scores[branch].astype(float)
        attention = np.exp(score - pooled.lse[branch])
        assert attention.sum() == pytest.approx(1, abs=1e-5)
        if show == "rank":
            assert (told["minimum"], told["maximum"]) == pytest.approx((100 / 24, 100 - 100 / 24))
            assert (told["source_minimum"], told["source_maximum"]) == pytest.approx(
                (attention.min(), attention.max())
            )
        else:
            truth = attention if show == "attention" else score
            assert (told["minimum"], told["maximum"]) == pytest.approx((truth.min(), truth.max()))
        brightest = np.unravel_index(picture(told)[..., :3].astype(int).sum(axis=2).argmax(), (2, 6))
        assert brightest[0] * 6 + brightest[1] == score.argmax()
    told = heatmap(asked, "S1", kind="attention", aggregator=ATTENTION)
    assert any("first of 2 branches" in note for note in told["notes"])


def cosine(row: np.ndarray, others: np.ndarray) -> np.ndarray:
    wide, one = others.astype(float), row.astype(float)
    return np.asarray(wide @ one / np.linalg.norm(wide, axis=1) / np.linalg.norm(one))


def test_likeness_to_a_patch_a_vector_and_a_region(asked: TestClient) -> None:
    truth = cosine(features(0)[7], features(1))
    told = heatmap(asked, "S1", kind="similarity", query={"slide": "S0", "x": F + 5, "y": F + 5})
    assert (told["minimum"], told["maximum"]) == pytest.approx((truth.min(), truth.max()), abs=1e-3)
    vector = features(0)[7].astype(float).tolist()
    same = heatmap(asked, "S1", kind="similarity", query={"vector": vector})
    assert same["image"] == told["image"]
    region = {"slide": "S0", "box": [0, 0, 2 * F, F]}
    told = heatmap(asked, "S1", kind="similarity", query={"region": region})
    both = np.maximum(cosine(features(0)[0], features(1)), cosine(features(0)[1], features(1)))
    assert (told["minimum"], told["maximum"]) == pytest.approx((both.min(), both.max()), abs=1e-3)
    own = heatmap(asked, "S0", kind="similarity", query={"slide": "S0", "x": 1, "y": 1})
    assert own["maximum"] == pytest.approx(1, abs=1e-3)


def test_likeness_to_an_image(client: TestClient) -> None:
    grey = np.full((256, 256, 3), (180, 90, 160), np.uint8)
    done, data = cv2.imencode(".png", grey)
    assert done
    query = {"image": base64.b64encode(data.tobytes()).decode(), "mpp": 0.5}
    told = heatmap(client, "S1", kind="similarity", query=query)
    assert -1 <= told["minimum"] <= told["maximum"] <= 1
    assert told["rows"] == 8


def test_patches_without_pixels_are_transparent(asked: TestClient) -> None:
    told = heatmap(asked, "GAPS", kind="similarity", query={"slide": "S0", "x": 1, "y": 1})
    alpha = picture(told)[..., 3].reshape(-1)
    assert alpha[4] == 0
    assert (np.delete(alpha, 4) == 255).all()
    assert told["rows"] == 11


def test_the_picture_alone(asked: TestClient) -> None:
    url = "/api/slides/S1/heatmap.png?kind=column&column=blur"
    answer = asked.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert np.array_equal(rgba(answer.content), picture(heatmap(asked, "S1", kind="column", column="blur")))
    assert (answer.headers["x-slidelake-minimum"], answer.headers["x-slidelake-maximum"]) == ("0.0", "11.0")
    assert answer.headers["x-slidelake-bounds"] == f"0,0,{6 * F},{2 * F}"
    again = asked.get(url, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (
        asked.get("/api/slides/S1/heatmap.png?kind=attention&aggregator=abmil&show=score").status_code == 200
    )


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"kind": "column"}, 400, "takes column, and got none"),
        ({"kind": "column", "aggregator": "abmil"}, 400, "takes column, and got aggregator"),
        ({"kind": "attention", "aggregator": "abmil", "column": "blur"}, 400, "got column, aggregator"),
        ({"kind": "column", "column": "nothing"}, 400, "no column 'nothing'"),
        ({"kind": "column", "column": "../../etc"}, 400, "no column"),
        ({"kind": "attention", "aggregator": "other"}, 404, "no slide has an embedding"),
        ({"kind": "attention", "aggregator": "/etc/model.safetensors"}, 400, "no name of an aggregator"),
        ({"kind": "attention", "aggregator": "abmil", "branch": 7}, 400, "no branch 7"),
        ({"kind": "attention", "aggregator": "abmil", "branch": -1}, 422, "branch"),
        ({"kind": "similarity", "query": {"vector": [1, 2]}}, 400, "2 dimensions"),
        ({"kind": "similarity", "query": {}}, 422, "a query is one of"),
        ({"kind": "similarity", "query": {"slide": "S9", "x": 1, "y": 1}}, 404, "S9|no such|no slide"),
        ({"kind": "nothing"}, 422, "kind"),
        ({"kind": "column", "column": "blur", "colours": "jet"}, 422, "colours"),
        ({"kind": "column", "column": "blur", "space": "other"}, 404, "other"),
    ],
)
def test_what_cannot_be_shown_is_said(
    asked: TestClient, body: dict[str, Any], status: int, problem: str
) -> None:
    import re

    told = heatmap(asked, "S1", status, **body)
    assert re.search(problem, told["problem"] + told["slide"])


def test_a_slide_that_is_none(asked: TestClient) -> None:
    assert heatmap(asked, "S9", 404, kind="column", column="blur")["kind"] == "UnknownSlideError"
    assert asked.get("/api/slides/..%2FS1/heatmap.png?kind=column&column=blur").status_code in (400, 404)
    assert asked.get("/api/slides/S1/heatmap.png?kind=similarity").status_code == 400


def test_a_hundred_thousand_patches(tmp_path: Path) -> None:
    """One pixel a patch, of a grid of 400 × 250."""
    store = FeatureStore.open(tmp_path / "lake", create=True)
    rows = np.arange(100_000)
    at = np.stack([rows % 400, rows // 400], axis=1).astype(np.int32) * 256
    facts = {
        "footprint_level0": [256.0] * 2,
        "stride_level0": [256.0] * 2,
        "slide_size": [400 * 256, 250 * 256],
    }
    data = np.random.default_rng(0).normal(size=(100_000, 8)).astype(np.float16)
    put_slide(store, "S0", data, at=at, facts=facts, grid=GRID, encoder=ENCODER)
    with served(Lake(store)) as client:
        told = heatmap(client, "S0", kind="similarity", query={"slide": "S0", "x": 300, "y": 300})
        assert picture(told).shape == (250, 400, 4)
        assert told["rows"] == 100_000
        assert told["maximum"] == pytest.approx(1, abs=1e-3)
