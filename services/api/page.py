"""The page and its assets, from `services/web`: no other host is asked for anything."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from slidelake.errors import UnknownNameError
from slidelake.services.api.conditional import not_modified, tagged

__all__ = ["WEB", "router"]

router = APIRouter(include_in_schema=False)

#: Where the page lies: index.html, and all else under /assets.
WEB = Path(__file__).parent.parent / "web"
#: Scripts, styles and calls of our own only; pictures may be drawn (data:, blob:).
PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
_ASSETS = StaticFiles(directory=WEB, check_dir=False)
#: What of the folder is sent: nothing else that may lie there.
_KINDS = frozenset({".js", ".mjs", ".css", ".svg", ".png", ".ico", ".woff2", ".json", ".txt", ".map"})


@router.get("/")
def page(request: Request) -> Response:
    """The page."""
    file = WEB / "index.html"
    if not file.is_file():
        raise UnknownNameError(
            "this installation has no page", remedy="Use the API: GET /api/docs says what it has."
        )
    content = file.read_bytes()
    stat = file.stat()
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    headers = {"cache-control": "no-cache", "content-security-policy": PAGE_POLICY}
    if (same := not_modified(request, etag, headers)) is not None:
        return same
    return Response(content, media_type="text/html", headers=tagged(etag, headers))


@router.get("/assets/{path:path}")
async def asset(path: str, request: Request) -> Response:
    """A script, a style or a picture of the page."""
    if Path(path).suffix.lower() not in _KINDS or "\x00" in path:
        raise UnknownNameError("there is no such asset", remedy="Reload the page.")
    answer = await _ASSETS.get_response(path, request.scope)
    if isinstance(answer, FileResponse):
        # The name of a file does not change with its content: ask each time, and mostly get a 304.
        answer.headers["cache-control"] = "no-cache"
    return answer
