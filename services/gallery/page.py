"""The gallery as one HTML file: no scripts, no links out, pictures inside, light and dark."""

from __future__ import annotations

import base64
import io
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from slidelake.services.gallery.cards import lay_out

if TYPE_CHECKING:
    import jinja2

    from slidelake.index import Hits
    from slidelake.store import FeatureStore

__all__ = ["html", "render_html"]

_PLACE_PX = 320


def render_html(
    hits: Hits, store: FeatureStore, out_html: str | os.PathLike[str], *, limit: int = 100
) -> Path:
    """Write the gallery of `hits` to `out_html` and return its path."""
    path = Path(out_html)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html(hits, store, limit=limit), encoding="utf-8")
    return path


def html(hits: Hits, store: FeatureStore, *, limit: int = 100) -> str:
    """The gallery as text, for a notebook or a file."""
    gallery = lay_out(hits, store, limit=limit)
    return _template().render(gallery=gallery, uri=data_uri, place_px=_PLACE_PX)


def data_uri(image: Image.Image, longest: int = 512) -> str:
    """The picture as a `data:` URI, JPEG, no side longer than `longest` pixels."""
    small = image.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("gallery.html")
