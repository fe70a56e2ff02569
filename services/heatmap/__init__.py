"""Heatmaps over a slide: pictures, rasters, GeoJSON for QuPath, and the patches themselves."""

from typing import TYPE_CHECKING, Any

__all__ = ["Heatmap", "HeatmapOptions", "PatchValues", "choose_values", "draw_heatmaps", "heatmap"]

if TYPE_CHECKING:
    from slidelake.services.heatmap.draw import Heatmap, HeatmapOptions, draw_heatmaps, heatmap
    from slidelake.services.heatmap.values import PatchValues, choose_values

_HOME = {
    "Heatmap": "draw",
    "HeatmapOptions": "draw",
    "PatchValues": "values",
    "choose_values": "values",
    "draw_heatmaps": "draw",
    "heatmap": "draw",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.services.heatmap.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
