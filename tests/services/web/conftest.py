"""Real servers over a real lake, and one real Chromium for all tests of the page."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from slidelake.services.api import ServeSettings, create_app
from slidelake.services.api.tokens import Tokens
from slidelake.services.lake import Lake
from tests.services.web.archive import make_archive

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Serve = Callable[..., str]
#: Opens a page of the site and keeps an eye on it.
Open = Callable[..., Page]

expect.set_options(timeout=15_000)  # a loaded machine; nothing waits longer than it has to


@pytest.fixture(scope="session")
def web_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_archive(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """serve(lake, tokens=…, prefix=…) starts a server on a free port and returns the page's URL."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(lake: Lake, *, tokens: Tokens | None = None, prefix: str = "") -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        app = create_app(lake, ServeSettings(prefix=prefix), tokens)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}{prefix}/"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def site(web_lake: Lake, serve: Serve) -> str:
    return serve(web_lake)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "the page's tests need Chromium: make tools"
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium_path: str) -> Iterator[Browser]:
    running = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
    yield running
    running.close()


class Watched:
    """What a page asked for and complained about."""

    def __init__(self) -> None:
        self.origins: set[str] = set()
        self.complaints: list[str] = []
        #: Statuses and failures that a test provokes: Chromium puts every failed request on the console.
        self.provoked: set[int | str] = set()

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self.origins.add(_origin(request.url)))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._said(said.type, said.text))

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and not any(
            each in text if isinstance(each, str) else f"status of {each} " in text for each in self.provoked
        ):
            self.complaints.append(text)


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def open_page(browser: Browser, site: str, watched: Watched) -> Iterator[Open]:
    """open_page("slides/S1?x=0") opens a view; at the end: nothing on the console, no other origin asked."""
    contexts = []
    servers = set()

    def start(
        route: str = "", *, at: str = site, other: Browser | None = None, script: str = "", **options: object
    ) -> Page:
        context = (other or browser).new_context(
            **{"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
        )
        contexts.append(context)
        servers.add(_origin(at))
        if script:
            context.add_init_script(script)
        page = context.new_page()
        watched.watch(page)
        page.goto(f"{at}#/{route}" if route else at)
        return page

    yield start
    for context in contexts:
        context.close()
    assert watched.complaints == []
    assert watched.origins - {"blob:", "data:"} <= servers


def _origin(url: str) -> str:
    scheme, _, rest = url.partition(":")
    return f"{scheme}:" if scheme in ("blob", "data") else f"{scheme}://{rest.lstrip('/').split('/')[0]}"


@pytest.fixture
def download_folder(tmp_path: Path) -> Path:
    return tmp_path
