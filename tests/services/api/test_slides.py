"""The list of slides, one slide, and what columns and spaces there are."""

import pytest

from slidelake.services.lake import open as open_lake
from tests.services.api.lakes import PATCHES, SIDE, SPACE, error, fill, served


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [each["slide_id"] for each in answer.json()["slides"]]


def test_a_slide_in_the_list_says_what_it_is(client):
    first = client.get("/api/slides").json()["slides"][0]
    assert first["slide_id"] == "S1"
    assert first["patient_id"] == "P1"
    assert (first["width"], first["height"], first["mpp"]) == (SIDE, SIDE, pytest.approx(0.5))
    assert first["patches"] == PATCHES
    assert first["metadata"] == {"site": "lung", "age": 61, "consent": True}
    assert first["pixels"] == "slide"
    assert client.get(first["thumbnail"]).headers["content-type"] == "image/jpeg"


def test_a_missing_value_is_left_out(client):
    last = client.get("/api/slides").json()["slides"][-1]
    assert "age" not in last["metadata"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["S1", "S2", "S3"]),
        ({"query": "LARYNX left"}, ["S3"]),
        ({"query": "p1 s2"}, ["S2"]),
        ({"query": "nothing of the kind"}, []),
        ({"where": "site=lung"}, ["S1", "S2"]),
        ({"where": ["age>=60", "slide_id!=S1"]}, ["S2"]),
        ({"where": "consent=false"}, ["S3"]),
        ({"where": 'site in lung,"larynx, left"', "query": "P2"}, ["S3"]),
        ({"where": "slide_id not in S1,S3"}, ["S2"]),
        ({"sort": "-slide_id"}, ["S3", "S2", "S1"]),
        ({"sort": "-age"}, ["S1", "S2", "S3"]),
        ({"sort": "site"}, ["S3", "S1", "S2"]),
        ({"offset": 1, "limit": 1}, ["S2"]),
        ({"offset": 99}, []),
        ({"limit": 0}, []),
    ],
)
def test_searching_filtering_sorting_paging(client, asked, found):
    assert ids(client.get("/api/slides", params=asked)) == found


def test_the_total_counts_what_fits_and_not_the_page(client):
    page = client.get("/api/slides", params={"where": "site=lung", "limit": 1}).json()
    assert (page["total"], len(page["slides"])) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"where": "height_of_tower=3"}, 400, "no column"),
        ({"where": "age>=old"}, 400, "holds integer"),
        ({"where": "tissue>200"}, 400, "one of patches"),
        ({"where": "1=1; DROP TABLE slides"}, 400, "no column"),
        ({"where": "=="}, 400, "cannot read"),
        ({"sort": "colour"}, 400, "cannot be sorted"),
        ({"sort": "tissue"}, 400, "cannot be sorted"),
        ({"limit": 501}, 422, "limit"),
        ({"offset": -1}, 422, "offset"),
        ({"offset": "NaN"}, 422, "offset"),
        ({"offset": "9" * 5000}, 422, "offset"),
    ],
)
def test_what_cannot_be_listed_is_said(client, asked, status, said):
    answer = client.get("/api/slides", params=asked)
    assert answer.status_code == status
    assert said in error(answer)["problem"]


def test_one_slide_says_all_that_was_made_of_it(client):
    slide = client.get("/api/slides/S2").json()
    (grid,) = slide["grids"]
    assert grid["grid_id"] == SPACE
    assert (grid["patch_px"], grid["footprint"], grid["stride"]) == (256, [256, 256], [256, 256])
    assert grid["patches"] == PATCHES
    assert {"tissue", "blur"} <= set(grid["columns"])
    (aggregator,) = slide["aggregators"]
    assert aggregator["aggregator_id"].startswith("mean.")
    assert (aggregator["branches"], aggregator["attention"]) == (1, False)
    deep = slide["deep_zoom"]
    assert (deep["width"], deep["height"], deep["max_level"]) == (SIDE, SIDE, 10)
    assert client.get(deep["url"]).status_code == 200
    assert slide["pixels_note"] == ""


@pytest.mark.parametrize(
    "name",
    [
        "S9",
        "..",
        "%2e%2e",
        "S1%00",
        "%5c..%5cS1",
        "s1 ",
        "é",
        "%F0%9F%94%AC",
        "a" * 3000,
        "CON",
        "S1%0d%0aX: y",
    ],
)
@pytest.mark.parametrize("rest", ["", ".dzi", "_files/0/0_0.jpeg", "/thumbnail.jpeg", "/coords"])
def test_an_id_that_the_lake_does_not_have_is_404_everywhere(client, name, rest):
    answer = client.get(f"/api/slides/{name}{rest}")
    assert answer.status_code == 404, answer.text
    assert len(error(answer)["problem"]) < 400
    assert "x" not in {key.lower() for key in answer.headers}


def test_spaces_and_columns(client):
    (space,) = client.get("/api/spaces").json()
    assert (space["grid_id"], space["slides"], space["patches"]) == (SPACE, 3, 3 * PATCHES)
    assert (space["patch_px"], space["mpp"], space["can_encode_images"]) == (256, 0.5, True)
    assert [each.partition(".")[0] for each in space["aggregators"]] == ["mean"]
    of_slides = {each["name"]: each for each in client.get("/api/columns").json()}
    assert list(of_slides) == ["slide_id", "patient_id", "site", "age", "consent"]
    assert of_slides["site"]["values"] == ["larynx, left", "lung"]
    assert of_slides["consent"]["kind"] == "boolean"
    everything = client.get("/api/columns", params={"space": space["encoder_id"]}).json()
    assert {"name": "tissue", "kind": "integer", "level": "patch", "values": None} in everything
    assert client.get("/api/columns", params={"space": "nowhere"}).status_code == 404


def test_status_counts_and_knows_the_index(client):
    status = client.get("/api/status").json()
    assert (status["slides"], status["patients"]) == (3, 2)
    assert status["index"]["state"] == "follows the store"


def test_a_slide_that_came_in_a_moment_ago_is_found(tmp_path):
    lake = fill(tmp_path, slides=1, index=False)
    with served(lake, fresh_for=0.2) as client:
        assert ids(client.get("/api/slides")) == ["S1"]
        fill(tmp_path / "more", slides=2, index=False)
        open_lake(tmp_path / "lake").ingest(tmp_path / "more" / "slides" / "S2.tif", sync_index=False)
        client.app.state.context.catalog.forget()
        assert client.get("/api/slides/S2").status_code == 200
        assert ids(client.get("/api/slides")) == ["S1", "S2"]


def test_an_empty_lake_is_an_empty_list(tmp_path):
    with served(open_lake(tmp_path / "lake")) as client:
        assert client.get("/api/slides").json() == {"total": 0, "offset": 0, "slides": []}
        assert client.get("/api/spaces").json() == []
        assert [each["name"] for each in client.get("/api/columns").json()] == ["slide_id", "patient_id"]
        assert client.get("/api/status").json()["slides"] == 0
