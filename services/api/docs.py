"""A page that lists the routes, made from OpenAPI: no scripts, nothing from elsewhere."""

from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@router.get("/api/docs")
def docs(request: Request) -> HTMLResponse:
    """The routes, their parameters and their answers."""
    schema = request.app.openapi()
    routes = [
        {"method": method.upper(), "path": path, **operation}
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]
    prefix = request.app.state.context.settings.prefix
    text = _template().render(info=schema["info"], routes=routes, prefix=prefix)
    return HTMLResponse(text, headers={"content-security-policy": _POLICY})


@cache
def _template() -> Any:
    import jinja2

    source = files("slidelake.services").joinpath("templates/api_docs.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["kind"] = _kind
    return environment.from_string(source)


def _kind(schema: dict[str, Any]) -> str:
    """A parameter's type in words: "integer", "list of string"; null, which only says that it may be left out, not."""
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"] if each.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(str(each) for each in schema["enum"])
    return str(schema.get("type", schema.get("$ref", "").rpartition("/")[2]))
