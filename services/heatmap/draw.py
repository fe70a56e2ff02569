"""Everything that shows one slide's values: picture, raster, GeoJSON, the patches themselves; files in one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import UsageError
from slidelake.services.heatmap.colours import colour_table
from slidelake.services.heatmap.geojson import OBJECT_TYPES, chosen_patches, write_geojson
from slidelake.services.heatmap.picture import draw_heatmap, draw_raster
from slidelake.services.heatmap.raster import coarse_raster
from slidelake.services.heatmap.top_patches import draw_top_patches
from slidelake.services.heatmap.values import PatchValues, choose_values
from slidelake.services.qupath import qupath_origin

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Heatmap", "HeatmapOptions", "draw_heatmaps", "heatmap"]


@dataclass(frozen=True)
class HeatmapOptions:
    """How it is drawn: opacity 0 … 1 of the colours; `top` objects in the GeoJSON (None: all), none whose attention is
    below `min_attention`; `patches` shown of the highest and of the lowest (0: no sheet)."""

    opacity: float = 0.5
    colours: str = "viridis"
    top: int | None = 1000
    min_attention: float | None = None
    objects: str = "detection"
    patches: int = 12

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise UsageError(
                f"an opacity of {self.opacity} cannot be", remedy="Give a share between 0 and 1."
            )
        colour_table(self.colours)
        if self.objects not in OBJECT_TYPES:
            raise UsageError(
                f"QuPath knows no object {self.objects!r}", remedy=f"Choose one of {', '.join(OBJECT_TYPES)}."
            )
        if (self.top is not None and self.top < 0) or self.patches < 0:
            raise UsageError("fewer than no patches cannot be shown", remedy="Give 0 or more.")


@dataclass(frozen=True)
class Heatmap:
    """What was drawn of one slide: the files by kind, and the values' facts."""

    slide_id: str
    label: str
    least: float
    most: float
    shown: int
    left_out: int
    objects: int
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "slide_id": self.slide_id,
            "label": self.label,
            "least": self.least,
            "most": self.most,
            "shown": self.shown,
            "left_out": self.left_out,
            "objects": self.objects,
            "files": {kind: str(path) for kind, path in self.files.items()},
            "notes": list(self.notes),
        }


def heatmap(
    store: "FeatureStore",
    slide_id: str,
    *,
    aggregator: str | PathLike[str] | None = None,
    column: str | None = None,
    values: str | PathLike[str] | None = None,
    space: str | None = None,
    show: str = "rank",
    branch: int | None = None,
    out: Path,
    **options: Any,
) -> list[Heatmap]:
    """Draw a slide's attention (rank, attention or score), a column of its grid, or the values of a file.

    A branch each, or the one named. `options` are those of HeatmapOptions. Raises UnknownSlideError,
    UnknownSpaceError, UnknownAggregatorError, UsageError.
    """
    drawn = HeatmapOptions(**options)
    space = store.bag(slide_id, space).space
    several = choose_values(
        store,
        slide_id,
        space,
        aggregator=None if aggregator is None else fspath(aggregator),
        column=column,
        file=None if values is None else Path(values),
        show=show,
        branch=branch,
    )
    return draw_heatmaps(store, space, several, out, drawn)


def draw_heatmaps(
    store: "FeatureStore",
    space: str,
    several: Sequence[PatchValues],
    out: Path,
    options: HeatmapOptions | None = None,
) -> list[Heatmap]:
    """Draw each of the values (of branches, say) into the folder `out`: SLIDE.TAG.png, .raster.png, .raster.npy,
    .geojson, and .patches.png. `space` says where the patches' pixels come from.
    """
    options = options or HeatmapOptions()
    return [_draw(store, space, patches, out, options) for patches in several]


def _draw(
    store: "FeatureStore", space: str, patches: PatchValues, out: Path, options: HeatmapOptions
) -> Heatmap:
    def named(kind: str) -> Path:
        return out / f"{patches.slide_id}.{patches.tag}{kind}"

    if not patches.shown.any():
        raise UsageError("no patch has a value", remedy="Look at the values.", slide=patches.slide_id)
    facts = attention_facts(patches)
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "picture": draw_heatmap(
            patches, store, named(".png"), opacity=options.opacity, colours=options.colours, facts=facts
        )
    }
    raster = coarse_raster(patches)
    files["raster"] = draw_raster(raster, named(".raster.png"), colours=options.colours)
    files["array"] = named(".raster.npy")
    np.save(files["array"], raster.values)
    notes = [*facts, *patches.notes]
    rows = chosen_patches(patches, top=options.top, least=options.min_attention)
    origin, note = qupath_origin(store, patches.slide_id)
    notes += [note] if any(origin) else []
    files["geojson"] = write_geojson(
        patches, rows, named(".geojson"), objects=options.objects, colours=options.colours, origin=origin
    )
    if options.patches:
        files["patches"] = draw_top_patches(
            patches, store, space, named(".patches.png"), count=options.patches, colours=options.colours
        )
    shown = patches.values[patches.shown]
    return Heatmap(
        patches.slide_id,
        patches.label,
        float(shown.min()),
        float(shown.max()),
        len(shown),
        int((~patches.shown).sum()),
        len(rows),
        files,
        notes,
    )


def attention_facts(patches: PatchValues) -> list[str]:
    """How far a slide's attention is from uniform, in words: a map of noise looks as good as one of findings."""
    score = patches.measures.get("attention score")
    if score is None:
        return []
    from slidelake.encoders import HealthRules, measure_attention

    rules = HealthRules()
    kept = score[patches.shown][None]
    top = kept.max()
    found = measure_attention(patches.slide_id, kept, np.array([top + np.log(np.exp(kept - top).sum())]))
    if isinstance(found, str):
        return [found]
    facts = [f"effective patches {found.branches[0].effective:,.1f} of {found.rows:,}"]
    if found.rows >= rules.min_rows and found.near_uniform(0, rules):
        facts.append("the attention is nearly uniform: small differences are drawn large")
    if found.collapsed(0, rules):
        facts.append(f"one patch holds {found.branches[0].largest:.0%} of the attention")
    return facts
