"""Answers that a caller may have already: ETag, If-None-Match, Cache-Control."""

from collections.abc import Mapping

from fastapi import Request, Response

__all__ = ["not_modified", "tagged"]


def not_modified(request: Request, etag: str, headers: Mapping[str, str]) -> Response | None:
    """A 304 where the caller has this very content; None where it has to be sent. `etag` is without quotes."""
    said = request.headers.get("if-none-match")
    if said is None:
        return None
    known = {each.strip().removeprefix("W/").strip('"') for each in said.split(",")}
    if etag not in known and "*" not in known:
        return None
    return Response(status_code=304, headers=tagged(etag, headers))


def tagged(etag: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with the ETag."""
    return {"etag": f'"{etag}"', **headers}
