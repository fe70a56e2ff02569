"""Deleting and syncing through the API, two tabs at once, and the record of who did it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slidelake.errors import UsageError
from slidelake.services.api.audit import AuditLog
from slidelake.services.api.tokens import Tokens, new_token
from slidelake.services.lake import open as open_lake
from tests.services.api.lakes import error, fill, served


def slides(client):
    return [each["slide_id"] for each in client.get("/api/slides").json()["slides"]]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_deleting_a_slide(tmp_path):
    lake = fill(tmp_path, slides=2)
    audit = tmp_path / "audit.jsonl"
    new_token("ward-3", "write", tmp_path / "tokens")
    token = new_token("ward-4", "write", tmp_path / "tokens")
    tokens = Tokens.of(None, tmp_path / "tokens")
    with served(lake, tokens, headers={"authorization": f"Bearer {token}"}, audit=audit) as client:
        tile = client.get("/api/slides/S1_files/9/0_0.jpeg")
        assert tile.status_code == 200
        for confirm in ({}, {"confirm": "S2"}, {"confirm": "s1"}):
            refused = client.request("DELETE", "/api/slides/S1", params=confirm)
            assert refused.status_code == 400
            assert "confirm=S1" in error(refused)["remedy"]
        report = client.request("DELETE", "/api/slides/S1", params={"confirm": "S1"}).json()
        assert report["slides"] == ["S1"]
        assert report["index_rows"] > 0
        # Gone from all answers at once, from what was kept too.
        assert slides(client) == ["S2"]
        for path in ("", ".dzi", "_files/9/0_0.jpeg", "/thumbnail.jpeg", "/patch.jpeg?x=0&y=0", "/coords"):
            answer = client.get(f"/api/slides/S1{path}", headers={"if-none-match": tile.headers["etag"]})
            assert answer.status_code == 404
        again = client.request("DELETE", "/api/slides/S1", params={"confirm": "S1"})
        assert again.status_code == 404
        context = client.app.state.context
        assert (context.pool.open, context.pictures.bytes, context.thumbnails.bytes) == (0, 0, 0)
        tables = client.get("/api/status").json()["index"]["tables"]
        assert [(table["slides"], table["gone"]) for table in tables] == [(1, 0), (1, 0)]
    (deleted,) = [line for line in lines(audit) if line["action"] == "delete"]
    assert (deleted["caller"], deleted["slide"]) == ("ward-4", "S1")
    assert token not in audit.read_text()


def test_a_slide_that_another_program_deletes(tmp_path):
    lake = fill(tmp_path, slides=2)
    with served(lake, fresh_for=0.0) as client:
        assert client.get("/api/slides/S1_files/9/0_0.jpeg").status_code == 200
        open_lake(tmp_path / "lake").delete(slide="S1")
        assert client.get("/api/slides/S1_files/9/0_0.jpeg").status_code == 404
        context = client.app.state.context
        assert (context.pool.open, context.pictures.bytes) == (0, 0)
        assert slides(client) == ["S2"]


def test_the_index_is_brought_up_to_date(tmp_path):
    lake = fill(tmp_path, slides=1, index=False)
    with served(lake) as client:
        assert "not made yet" in client.get("/api/status").json()["index"]["state"]
        made = client.post("/api/index/sync").json()
        assert (made["added"], made["changed"], made["failed"]) == (1, True, [])
        assert client.get("/api/status").json()["index"]["state"] == "follows the store"
        assert client.post("/api/index/sync").json()["changed"] is False


def test_two_tabs_that_delete_and_look(tmp_path):
    """While one deletes, others list, open and page: every answer is whole, or says that the slide is gone."""
    lake = fill(tmp_path, slides=3)
    stop = threading.Event()
    seen = []
    with served(lake, fresh_for=0.05) as client:

        def look(path):
            while not stop.is_set():
                answer = client.get(path)
                seen.append(answer.status_code)
                if answer.status_code not in (200, 404):
                    return answer
                if "/api/slides?" in path:
                    page = answer.json()
                    assert len(page["slides"]) <= page["total"]
            return None

        paths = [
            "/api/slides?limit=5",
            "/api/slides/S1",
            "/api/slides/S1_files/10/1_1.jpeg",
            "/api/spaces",
            "/api/status",
        ]
        with ThreadPoolExecutor(len(paths) + 2) as threads:
            looking = [threads.submit(look, path) for path in paths]
            deleting = [
                threads.submit(client.request, "DELETE", f"/api/slides/{name}?confirm={name}")
                for name in ("S1", "S1", "S3")
            ]
            done = sorted(each.result(120).status_code for each in deleting)
            stop.set()
            assert [each.result(60) for each in looking] == [None] * len(paths)
        # Both may have begun before the slide was gone; then both deleted it, which does no harm.
        assert done in ([200, 200, 200], [200, 200, 404])
        assert slides(client) == ["S2"]
        assert client.app.state.context.pool.open <= 1
    assert seen.count(200) > 10


def test_the_audit_log_keeps_lines_whole(tmp_path):
    path = tmp_path / "audit.jsonl"
    log, other = AuditLog(path), AuditLog(path)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    with ThreadPoolExecutor(4) as threads:
        for number in range(200):
            threads.submit((log, other)[number % 2].record, "é\n", "search", number=number, space=None)
    log.close()
    log.record("late", "search")
    written = lines(path)
    assert sorted(line["number"] for line in written) == list(range(200))
    assert set(written[0]) == {"time", "caller", "action", "number"}
    assert {line["caller"] for line in written} == {"é\n"}


def test_an_audit_log_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="audit log"):
        AuditLog(tmp_path / "nowhere" / "audit.jsonl")


def test_searches_are_counted_and_recorded(lake, tmp_path):
    from slidelake.services.api.auth import Caller

    with served(lake, audit=tmp_path / "audit.jsonl") as client:
        client.app.state.context.audit(Caller("a"), "search", kind="patch", hits=3)
        assert 'slidelake_searches_total{kind="patch"} 1.0' in client.get("/metrics").text
    (line,) = lines(tmp_path / "audit.jsonl")
    assert (line["caller"], line["action"], line["kind"], line["hits"]) == ("a", "search", "patch", 3)
