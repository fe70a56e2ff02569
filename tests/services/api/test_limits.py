"""Limits: bodies, time, requests at once; and that every error has the one form."""

import asyncio
import json
import threading

import httpx
import pytest
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from slidelake.errors import (
    DamagedSlideError,
    DamagedStoreError,
    IndexMissingError,
    KernelError,
    MissingDependencyError,
    SlideDeletedError,
    SlidelakeError,
    StoreUnreachableError,
    TooSlowError,
    UnknownSpaceError,
    UsageError,
)
from slidelake.services.api import ServeSettings, create_app
from slidelake.services.api.error_answers import status_of
from tests.in_loop import in_loop
from tests.services.api.lakes import error, served

MIB = 2**20


def app_with(lake, router, **settings):
    app = create_app(lake, ServeSettings(**settings))
    app.router.routes.insert(0, *_included(app, router))
    return app


def _included(app, router):
    before = len(app.router.routes)
    app.include_router(router)
    added = app.router.routes[before:]
    del app.router.routes[before:]
    return added


def probe(**routes):
    """A router of test routes, path → handler."""
    router = APIRouter()
    for name, handler in routes.items():
        router.add_api_route(f"/probe/{name}", handler, methods=["GET", "POST"])
    return router


def asgi(app, **options):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost", **options)


def test_a_body_that_says_it_is_too_large_is_not_read(client):
    taken = []

    def body():
        taken.append(1)
        yield b"x"

    answer = client.post("/api/session", content=body(), headers={"content-length": str(2 * 2**30)})
    assert answer.status_code == 413
    assert error(answer)["kind"] == "TooLargeError"
    for said in ("9" * 30, str(33 * MIB)):
        assert client.post("/api/session", content=b"", headers={"content-length": said}).status_code == 413


@pytest.mark.parametrize("path", ["/api/session", "/probe/raw"])
def test_a_body_that_does_not_say_is_stopped_at_the_limit(lake, path):
    """Two GiB in pieces, with no Content-Length: no more than the limit is taken."""
    sent = []

    async def raw(request: Request) -> int:
        return len(await request.body())

    async def pieces():
        for _ in range(2048):
            sent.append(MIB)
            yield b" " * MIB

    async def post():
        app = app_with(lake, probe(raw=raw), max_body=4 * MIB)
        async with asgi(app) as client:
            return await client.post(path, content=pieces(), headers={"content-type": "application/json"})

    answer = in_loop(post())
    assert answer.status_code == 413
    assert error(answer)["kind"] == "TooLargeError"
    assert sum(sent) <= 6 * MIB


def test_a_body_that_stops_coming_gives_its_place_back(lake):
    """Half a body, and then nothing: the place is free again long before the request's own time is up."""

    async def raw(request: Request) -> int:
        return len(await request.body())

    async def half():
        yield b"half"
        await asyncio.sleep(30)

    async def post():
        app = app_with(lake, probe(raw=raw), body_pause=0.1, concurrency=1)
        async with asgi(app) as client:
            slow = await client.post("/probe/raw", content=half())
            return slow, await client.get("/api/session")

    slow, next_one = in_loop(post())
    assert slow.status_code == 408
    assert "nothing came of the body" in error(slow)["problem"]
    assert next_one.status_code == 200


def test_a_body_of_the_limit_is_taken(lake):
    async def raw(request: Request) -> int:
        return len(await request.body())

    async def post():
        app = app_with(lake, probe(raw=raw), max_body=MIB)
        async with asgi(app) as client:
            return await client.post("/probe/raw", content=b"x" * MIB)

    assert in_loop(post()).json() == MIB


def test_a_request_without_an_answer_in_time_is_504_and_its_place_stays_taken(lake):
    may = threading.Event()

    def slow() -> str:
        assert may.wait(60)
        return "late"

    async def ask():
        app = app_with(lake, probe(slow=slow), request_time=0.2, concurrency=2)
        async with asgi(app) as client:
            late = await asyncio.gather(client.get("/probe/slow"), client.get("/probe/slow"))
            busy = await client.get("/api/slides")
            health = await client.get("/health")
            may.set()
            for _ in range(500):
                free = await client.get("/api/session")
                if free.status_code == 200:
                    break
                await asyncio.sleep(0.01)
            return late, busy, health, free

    late, busy, health, free = in_loop(ask())
    assert [answer.status_code for answer in late] == [504, 504]
    assert error(late[0])["kind"] == "TooSlowError"
    assert busy.status_code == 429
    assert busy.headers["retry-after"] == "1"
    assert error(busy)["kind"] == "TooBusyError"
    assert health.status_code == 200
    assert free.status_code == 200


def test_an_answer_that_has_begun_may_take_its_time(lake):
    async def stream() -> StreamingResponse:
        async def words():
            for _ in range(4):
                yield b"word "
                await asyncio.sleep(0.1)

        return StreamingResponse(words())

    async def ask():
        app = app_with(lake, probe(stream=stream), request_time=0.15)
        async with asgi(app) as client:
            return await client.get("/probe/stream")

    answer = in_loop(ask())
    assert (answer.status_code, answer.text) == (200, "word " * 4)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (UsageError, 400),
        (KernelError, 400),
        (UnknownSpaceError, 404),
        (IndexMissingError, 409),
        (SlideDeletedError, 409),
        (DamagedSlideError, 503),
        (DamagedStoreError, 503),
        (StoreUnreachableError, 503),
        (MissingDependencyError, 503),
        (TooSlowError, 504),
        (SlidelakeError, 500),
    ],
)
def test_each_error_has_its_status_and_the_one_form(lake, kind, status):
    def fail() -> None:
        raise kind("half a surrogate \ud800", remedy="Do it.", slide="S1")

    async def ask():
        async with asgi(app_with(lake, probe(fail=fail))) as client:
            return await client.get("/probe/fail")

    answer = in_loop(ask())
    assert answer.status_code == status == status_of(kind("x"))
    assert error(answer) == {
        "kind": kind.__name__,
        "problem": "half a surrogate \\ud800",
        "remedy": "Do it.",
        "slide": "S1",
    }


def test_what_nobody_expected_is_a_500_that_tells_nothing_but_its_number(lake, heard):
    def fail() -> None:
        raise ZeroDivisionError("a secret")

    async def ask():
        async with asgi(app_with(lake, probe(fail=fail))) as client:
            return await client.get("/probe/fail", headers={"x-request-id": "my-own-7"})

    answer = in_loop(ask())
    assert answer.status_code == 500
    assert "my-own-7" in error(answer)["problem"]
    assert "secret" not in answer.text
    (record,) = [each for each in heard if each.exc_info]
    assert record.request_id == "my-own-7"


def test_routes_and_methods_that_there_are_not(client):
    for path in ("/api/nothing", "/api", "/.env", "/api/slides/", "//api/slides"):
        assert error(client.get(path))["kind"] == "NotFound"
    answer = client.put("/api/slides")
    assert (answer.status_code, error(answer)["kind"]) == (405, "MethodNotAllowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"token": 3}', b'{"token": ""}', b"\xff\xfe", b'{"token": "' + b"x" * 2000 + b'"}'],
)
def test_bodies_that_are_not_of_their_form(client, body):
    answer = client.post("/api/session", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    error(answer)


def test_a_deeply_nested_body_is_no_crash(client):
    body = b"[" * 200_000 + b"]" * 200_000
    answer = client.post("/api/session", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert error(answer)["remedy"]


def test_a_body_of_very_many_values_is_not_parsed(client):
    """Checked one by one, between all other requests, these would hold up everybody for 20 s."""
    body = json.dumps({"query": {f"k{place}": 1 for place in range(100_002)}}).encode()
    for path in ("/api/search/patches", "/api/session", "/v1/embeddings"):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 413, path
        assert "values" in answer.text
    assert client.post("/api/search/patches", json={"query": {"vector": [0.5] * 16_384}}).status_code != 413


def test_many_corners_of_annotations_are_their_own_matter(client):
    corners = [[place % 500, place // 500] for place in range(60_000)]
    collection = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": {"type": "LineString", "coordinates": corners}}],
    }
    answer = client.put("/api/slides/none/annotations", json=collection)
    assert (answer.status_code, error(answer)["kind"]) == (404, "UnknownSlideError")


def test_every_answer_has_its_number_and_the_headers_of_safety(client):
    for path in ("/api/slides", "/api/nothing", "/api/slides/S1_files/9/0_0.jpeg", "/health"):
        answer = client.get(path)
        assert len(answer.headers["x-request-id"]) == 16
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    hostile = client.get("/health", headers={"x-request-id": "a b\tc"})
    assert len(hostile.headers["x-request-id"]) == 16
    assert client.get("/health", headers={"x-request-id": "kept-1"}).headers["x-request-id"] == "kept-1"


def test_a_path_cannot_write_lines_of_the_log(client, heard):
    client.get("/api/a%0a2026-01-01 INFO forged%1b[31m")
    (record,) = [each for each in heard if each.name == "slidelake.api.access"]
    assert record.getMessage() == "GET /api/a%0A2026-01-01%20INFO%20forged%1B%5B31m"


def test_metrics_count_what_happened(lake):
    with served(lake) as client:
        for _ in range(3):
            client.get("/api/slides/S1_files/9/0_0.jpeg")
        client.get("/api/slides/S9")
        client.request("BREW", "/api/slides")
        text = client.get("/metrics").text
    tile = "/api/slides/{slide_id}_files/{level:int}/{column:int}_{row:int}.jpeg"
    assert f'slidelake_requests_total{{method="GET",route="{tile}",status="200"}} 3.0' in text
    assert 'slidelake_requests_total{method="GET",route="/api/slides/{slide_id}",status="404"} 1.0' in text
    assert 'method="other"' in text
    assert f'slidelake_request_seconds_count{{route="{tile}"}} 3.0' in text
    assert 'slidelake_pictures_total{pixels="slide"} 3.0' in text
    assert "slidelake_open_slides 1.0" in text
    assert "S9" not in text


def test_openapi_has_an_example_or_a_description_for_what_is_asked(client):
    schema = client.get("/api/openapi.json").json()
    assert schema["info"]["title"] == "slidelake"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            assert "422" in operation["responses"]
            said = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert said == {"$ref": "#/components/schemas/ErrorAnswer"}
    json.dumps(schema)
    page = client.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/slides/{slide_id}/patch.jpeg" in page.text
    assert "list of string" in page.text
    assert "script" not in page.headers["content-security-policy"]
