"""The result gallery: query and hits as one picture, or as one page that needs nothing else."""

from slidelake.services.gallery.page import render_html
from slidelake.services.gallery.picture import render_png

__all__ = ["render_html", "render_png"]
