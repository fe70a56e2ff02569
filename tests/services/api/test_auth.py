"""Who may come in: tokens, scopes, sessions, other sites' pages, other names of this host, prefixes."""

import json

import pytest

from slidelake.errors import UsageError
from slidelake.services.api import ServeSettings
from slidelake.services.api.sessions import COOKIE, Sessions
from slidelake.services.api.tokens import Token, Tokens, new_token
from tests.services.api.lakes import error, served

SECRET = "a-secret-of-this-test-0123456789"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """The tokens of a server, and those that they are made from: one reads, one writes."""
    file = tmp_path_factory.mktemp("tokens") / "tokens.jsonl"
    made = {scope: new_token(f"{scope}er", scope, file) for scope in ("read", "write")}
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert not any(token in file.read_text() for token in made.values())
    return Tokens.of(SECRET, file), made


@pytest.fixture(scope="module")
def guarded(archive, tokens):
    from slidelake.services.lake import open as open_lake

    with served(open_lake(archive / "lake"), tokens[0]) as client:
        yield client


def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/slides",
        "/api/slides/S1",
        "/api/slides/S1.dzi",
        "/api/slides/S1_files/9/0_0.jpeg",
        "/api/slides/S1/thumbnail.jpeg",
        "/api/slides/S1/patch.jpeg?x=0&y=0",
        "/api/slides/S1/coords",
        "/api/spaces",
        "/api/columns",
        "/api/status",
        "/metrics",
    ],
)
def test_nothing_of_the_lake_without_a_token(guarded, tokens, path):
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert error(answer)["kind"] == "SignInError"
    for wrong in ("wrong", SECRET[:-1], SECRET + "x", "é" * 20, ""):
        header = {"authorization": f"Bearer {wrong}".encode()}
        assert guarded.get(path, headers=header).status_code == 401
    assert guarded.get(path, headers={"authorization": f"Basic {SECRET}"}).status_code == 401
    assert guarded.get(path, headers=bearer(tokens[1]["read"])).status_code == 200
    assert guarded.get(path, headers=bearer(SECRET)).status_code == 200


@pytest.mark.parametrize("path", ["/api/search/patches", "/api/slides/S1/annotations", "/v1/embeddings"])
def test_a_body_is_not_read_from_who_has_no_token(guarded, path):
    method = "PUT" if path.endswith("annotations") else "POST"
    # More than a body may have: read, it would end as 413.
    body = (b"x" * 2**20 for _ in range(64))
    answer = guarded.request(method, path, content=body, headers=bearer("wrong"))
    assert answer.status_code == 401
    told = answer.json()["error"]
    assert told["type" if path.startswith("/v1") else "kind"] in ("authentication_error", "SignInError")


def test_every_route_asks_for_a_caller(client):
    """A route that forgets its caller would be open to all."""
    free = {"/health", "/api/session"}
    operations = client.get("/api/openapi.json").json()["paths"]
    with_caller = set()
    for route in _routes(client.app):
        names = {each.call.__qualname__ for each in route.dependant.dependencies if each.call}
        if any("_needs" in name for name in names):
            with_caller.add(route.path_format)
    assert set(operations) - free == with_caller & set(operations)


def _routes(app):
    from fastapi.routing import APIRoute

    found, waiting = [], list(app.router.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        waiting += getattr(getattr(route, "original_router", None), "routes", [])
    return found


def test_health_page_and_documents_ask_for_none(guarded):
    for path in ("/health", "/api/openapi.json", "/api/docs", "/api/session"):
        assert guarded.get(path).status_code == 200
    assert guarded.get("/api/session").json() == {"caller": None, "scopes": [], "token_needed": True}


def test_a_reader_may_not_write(guarded, tokens):
    for method, path in (("DELETE", "/api/slides/S1?confirm=S1"), ("POST", "/api/index/sync")):
        answer = guarded.request(method, path, headers=bearer(tokens[1]["read"]))
        assert answer.status_code == 403
        assert error(answer)["kind"] == "NotAllowedError"
        assert guarded.request(method, path).status_code == 401
    assert guarded.get("/api/session", headers=bearer(tokens[1]["read"])).json()["scopes"] == ["read"]


@pytest.mark.parametrize("name", ["token", "access_token", "key", "api_key"])
def test_a_token_in_the_url_is_refused_and_never_logged(guarded, name, heard):
    answer = guarded.get(f"/api/slides?{name}={SECRET}")
    assert answer.status_code == 400
    assert "in the URL" in error(answer)["problem"]
    assert SECRET not in answer.text
    assert any(record.name == "slidelake.api.access" for record in heard)
    assert not any(SECRET in str(vars(record)) for record in heard)


def test_a_session_of_the_page(guarded, tokens):
    assert guarded.post("/api/session", json={"token": "wrong"}).status_code == 401
    answer = guarded.post("/api/session", json={"token": tokens[1]["write"]})
    assert answer.json() == {"caller": "writeer", "scopes": ["read", "write"], "token_needed": True}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Path=/" in cookie
    assert tokens[1]["write"] not in cookie
    try:
        assert guarded.get("/api/slides").status_code == 200
        assert guarded.get("/api/session").json()["caller"] == "writeer"
        # A token in the header counts before the cookie: a wrong one is not overlooked.
        assert guarded.get("/api/slides", headers=bearer("wrong")).status_code == 401
        word = guarded.cookies[COOKIE]
        assert guarded.delete("/api/session").json()["caller"] is None
        guarded.cookies.set(COOKIE, word)
        assert guarded.get("/api/slides").status_code == 401
    finally:
        guarded.cookies.clear()


def test_a_cookie_is_secure_where_the_page_came_by_https(guarded, tokens):
    answer = guarded.post("https://localhost/api/session", json={"token": SECRET})
    guarded.cookies.clear()
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://localhost"}, True),
        ({"origin": "https://localhost"}, True),  # a proxy ended TLS
        ({"origin": "http://localhost", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://localhost:81"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost"}, False),
    ],
)
def test_other_pages_change_nothing(client, headers, allowed):
    """In a browser whose owner may do everything here: without a token, with a cookie, or signing in."""
    answer = client.request("DELETE", "/api/slides/S1?confirm=no", headers=headers)
    assert answer.status_code == (400 if allowed else 403)
    sync = client.post("/api/session", json={"token": "x"}, headers=headers)
    assert sync.status_code == (200 if allowed else 403)
    assert client.get("/api/slides", headers=headers).status_code == 200


def test_a_token_in_the_header_is_no_browsers_doing(guarded):
    headers = {**bearer(SECRET), "origin": "http://elsewhere.example"}
    assert guarded.request("DELETE", "/api/slides/S1?confirm=no", headers=headers).status_code == 400


def test_no_other_origin_may_read_unless_it_was_allowed(client, lake):
    there = {"origin": "https://viewer.example.org"}
    answer = client.get("/api/slides", headers=there)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    with served(lake, allow_origins=("https://viewer.example.org",)) as open_to:
        answer = open_to.get("/api/slides", headers=there)
        assert answer.headers["access-control-allow-origin"] == there["origin"]
        asked = {**there, "access-control-request-method": "DELETE"}
        assert open_to.options("/api/slides/S1", headers=asked).status_code == 200
        assert open_to.request("DELETE", "/api/slides/S1?confirm=no", headers=there).status_code == 400
        other = {"origin": "https://other.example.org"}
        assert "access-control-allow-origin" not in open_to.get("/api/slides", headers=other).headers
        assert open_to.request("DELETE", "/api/slides/S1", headers=other).status_code == 403


def test_only_names_of_this_host_are_answered(lake):
    with served(lake, hosts=("localhost", "127.0.0.1", "[::1]")) as client:
        for name in ("localhost", "localhost:8765", "127.0.0.1:1", "[::1]:80", "LOCALHOST"):
            assert client.get("/api/slides", headers={"host": name}).status_code == 200
        for name in (
            "evil.example",
            "evil.example:8765",
            "localhost.evil.example",
            "",
            "[::2]",
            "127.0.0.1.x",
        ):
            answer = client.get("/api/slides", headers={"host": name})
            assert answer.status_code == 400
            assert "host name" in error(answer)["problem"]


@pytest.mark.parametrize("stripped", [True, False], ids=["stripped", "whole"])
def test_under_a_prefix(lake, tokens, stripped):
    with served(lake, tokens[0], prefix="/lake") as client:
        before = "" if stripped else "/lake"
        slide = client.get(f"{before}/api/slides/S1", headers=bearer(SECRET)).json()
        assert slide["thumbnail"] == "/lake/api/slides/S1/thumbnail.jpeg"
        assert slide["deep_zoom"]["url"] == "/lake/api/slides/S1.dzi"
        own = slide["thumbnail"] if not stripped else slide["thumbnail"].removeprefix("/lake")
        assert client.get(own, headers=bearer(SECRET)).status_code == 200
        cookie = client.post(f"{before}/api/session", json={"token": SECRET}).headers["set-cookie"]
        assert "Path=/lake/" in cookie
        bare = client.get("/lake", follow_redirects=False)
        assert (bare.status_code, bare.headers["location"]) == (307, "/lake/")
        assert "/lake" in str(client.get(f"{before}/api/openapi.json").json()["servers"])


@pytest.mark.parametrize("prefix", ["lake", "/lake/", "/a//b", "/a b", "/..\\x", "//evil.example"])
def test_a_prefix_that_is_none(prefix):
    with pytest.raises(UsageError, match="prefix"):
        ServeSettings(prefix=prefix)


@pytest.mark.parametrize("origin", ["*", "viewer.example.org", "https://x/y", "https://u@x", ""])
def test_an_origin_that_is_none(origin):
    with pytest.raises(UsageError, match="origin"):
        ServeSettings(allow_origins=(origin,))


def test_sessions_end(monkeypatch):
    import time

    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sessions = Sessions(10)
    word = sessions.begin(Token("a", "read", "0" * 64))
    assert sessions.find(word).name == "a"
    assert sessions.find(word + "x") is None
    now += 11
    assert sessions.find(word) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "no token"),
        ("[]", "no token"),
        (json.dumps({"name": "a", "scope": "all", "sha256": "0" * 64}), "no token"),
        (json.dumps({"name": "a/b", "scope": "read", "sha256": "0" * 64}), "no token"),
        (json.dumps({"name": "a", "scope": "read", "sha256": "0" * 63}), "no token"),
        (json.dumps({"name": "a", "scope": ["read"], "sha256": "0" * 64}), "no token"),
        ("", "there is no token"),
        ((json.dumps({"name": "a", "scope": "read", "sha256": "0" * 64}) + "\n") * 2, "two tokens"),
    ],
)
def test_files_of_tokens_that_cannot_be_read(tmp_path, line, said):
    file = tmp_path / "tokens"
    file.write_text(line)
    with pytest.raises(UsageError, match=said):
        Tokens.of(None, file)


def test_tokens_that_cannot_be_made(tmp_path):
    file = tmp_path / "tokens"
    new_token("a", "read", file)
    for name, scope in (("a", "read"), ("", "read"), ("a b", "read"), ("b", "admin")):
        with pytest.raises(UsageError):
            new_token(name, scope, file)
    with pytest.raises(UsageError):
        new_token("b", "read", tmp_path / "nowhere" / "tokens")
    with pytest.raises(UsageError, match="too short"):
        Tokens.of("short")
    with pytest.raises(UsageError):
        Tokens.of(None, tmp_path / "missing")
    assert len(Tokens.of(None, file).known) == 1
