"""What a search gives back: hits in order, the query they answer, and what should be known about both."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Hit", "Hits", "Query"]


@dataclass(frozen=True)
class Hit:
    """One patch, or one slide (then `row`, `x` and `y` are None).

    `score` is the true cosine, -1 to 1; `x`, `y` are the patch's top-left corner in level-0 pixels.
    """

    rank: int
    score: float
    slide_id: str
    patient_id: str
    row: int | None
    x: int | None
    y: int | None
    space: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Query:
    """What was asked. `kind` is "patch", "image", "vector", "region", "text" or "slide"; `x`, `y` are the query patch's
    corner, or that of the box around a region, whose size is `width` × `height`; `patches` are those of the region.

    `exact` says whether every candidate was looked at. `pixels` is the image that was encoded, uint8 (px, px,
    3), for an image query; `notes` say what was assumed.
    """

    kind: str
    k: int
    slide_id: str | None = None
    patient_id: str | None = None
    row: int | None = None
    x: int | None = None
    y: int | None = None
    width: int | None = None
    height: int | None = None
    patches: int | None = None
    image: str | None = None
    text: str | None = None
    aggregator: str | None = None
    where: str = ""
    exclude_patients: tuple[str, ...] = ()
    exact: bool = True
    notes: tuple[str, ...] = ()
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)

    def describe(self) -> str:
        """One line for people: "patch of S1 at 1024, 2048"."""
        subject = {
            "patch": f"patch of {self.slide_id} at {self.x}, {self.y}",
            "slide": f"slide {self.slide_id} ({self.aggregator})",
            "image": f"image {self.image}",
            "vector": "a vector",
            "text": f"words: {self.text}",
            "region": f"region of {self.slide_id} at {self.x}, {self.y} ({self.patches} patches)",
        }[self.kind]
        left_out = f", without patient {', '.join(self.exclude_patients)}" if self.exclude_patients else ""
        return subject + (f", where {self.where}" if self.where else "") + left_out

    def to_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "pixels"}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}


class Hits(Sequence[Hit]):
    """Hits in falling order of score (ties by slide_id, then row).

    `stale` counts the slides in which the index differs from the store; `notes` say it in words.
    """

    def __init__(
        self, hits: Sequence[Hit], *, query: Query, space: str, stale: int = 0, notes: Sequence[str] = ()
    ) -> None:
        self._hits = tuple(hits)
        self.query = query
        self.space = space
        self.stale = stale
        self.notes = (*query.notes, *notes)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(
                self._hits[index],
                query=self.query,
                space=self.space,
                stale=self.stale,
                notes=self.notes[len(self.query.notes) :],
            )
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hits) and self._hits == other._hits and self.space == other.space

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        best = f", best {self._hits[0].score:.3f}" if self._hits else ""
        return f"<{len(self)} hits for {self.query.describe()} in {self.space}{best}>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dict a hit, ready for JSON."""
        return [hit.to_dict() for hit in self._hits]

    def to_pandas(self) -> pd.DataFrame:
        """A row a hit; metadata columns beside the rest (`metadata.<name>` where a name is taken)."""
        import pandas as pd

        own = [name for name in Hit.__dataclass_fields__ if name != "metadata"]
        rows = []
        for hit in self._hits:
            row = {name: getattr(hit, name) for name in own}
            row.update({(f"metadata.{k}" if k in own else k): v for k, v in hit.metadata.items()})
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else own)

    def _repr_html_(self) -> str:
        """A table for notebooks; it reads nothing but itself."""
        columns = sorted({name for hit in self._hits for name in hit.metadata})
        head = "".join(
            f"<th>{html.escape(c)}</th>" for c in ["", "score", "slide", "patient", "x, y", *columns]
        )
        body = []
        for hit in self._hits:
            place = "" if hit.x is None else f"{hit.x}, {hit.y}"
            cells = [str(hit.rank), f"{hit.score:.3f}", hit.slide_id, hit.patient_id, place]
            cells += ["" if hit.metadata.get(c) is None else str(hit.metadata[c]) for c in columns]
            body.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        notes = "".join(f"<p><em>{html.escape(note)}</em></p>" for note in self.notes)
        caption = html.escape(f"{len(self)} hits for {self.query.describe()} in {self.space}")
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(body)}</tbody></table>{notes}"
        )
