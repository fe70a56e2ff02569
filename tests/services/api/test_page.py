"""The page's files: what is sent, with which policy, and what is not."""

import pytest
from starlette.staticfiles import StaticFiles

from slidelake.services.api import page
from tests.services.api.lakes import error


@pytest.fixture
def web(tmp_path, monkeypatch):
    folder = tmp_path / "web"
    (folder / "js").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "js" / "main.js").write_text("export {}")
    (folder / "README.md").write_text("# web")
    (tmp_path / "secret.js").write_text("secret")
    (folder / "js" / "link.js").symlink_to(tmp_path / "secret.js")
    monkeypatch.setattr(page, "WEB", folder)
    monkeypatch.setattr(page, "_ASSETS", StaticFiles(directory=folder))
    return folder


def test_the_page_loads_nothing_from_elsewhere(client, web):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    again = client.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_assets_are_asked_for_each_time_and_mostly_not_sent(client, web):
    answer = client.get("/assets/js/main.js")
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get("/assets/js/main.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    ["secret.js", "../secret.js", "%2e%2e/secret.js", "js/..%2f..%2fsecret.js", "js/link.js", "README.md",
     "index.html", "js", "", "js/none.js", "%00.js", "..\\secret.js", "/etc/passwd", "x" * 3000 + ".js"],
)  # fmt: skip
def test_nothing_else_is_sent(client, web, path):
    answer = client.get(f"/assets/{path}")
    assert answer.status_code == 404, answer.text
    error(answer)


def test_an_installation_without_a_page_says_so(client, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "WEB", tmp_path)
    assert "no page" in error(client.get("/"))["problem"]
