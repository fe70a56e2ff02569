"""Which rows a probe works on, as options of commands: those of a lake's spaces, or of folders of images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from slidelake.errors import UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.index.probing import Labelled

SpaceOption = Annotated[
    list[str] | None, typer.Option("--space", help="Of the lake; again to compare several. Default: the one.")
]
LabelOption = Annotated[str, typer.Option("--label", metavar="COLUMN", help="Metadata column of the class.")]
ColumnOption = Annotated[
    str, typer.Option("--grid-column", metavar="NAME", help="Column of the grid that holds the class.")
]
TableOption = Annotated[
    Path | None, typer.Option("--labels", metavar="FILE", help="Table of slide_id, x, y, label of patches.")
]
ImagesOption = Annotated[
    Path | None,
    typer.Option("--images", metavar="FOLDER", help="Instead of a lake: a folder of images a class."),
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option("--encoder", metavar="NAME", help="What encodes the images; again to compare several."),
]
GroupOption = Annotated[
    str, typer.Option(metavar="REGEX", help="Of images: the patient in the path below FOLDER, as '/(\\d+)_'.")
]
CentreOption = Annotated[
    str, typer.Option("--centre", metavar="COLUMN", help="Metadata column of the centre.")
]
CentrePatternOption = Annotated[
    str, typer.Option("--centre-pattern", metavar="REGEX", help="Of images: the centre in the path.")
]
ClassOption = Annotated[
    list[str] | None, typer.Option("--class", metavar="NAME", help="Only this class; again for more.")
]
PerSlideOption = Annotated[int, typer.Option(min=1, help="Patches of a class drawn from a slide at most.")]


@dataclass(frozen=True)
class Wanted:
    """Which rows a command was asked for: those of a lake's spaces, or of a folder of images."""

    spaces: list[str] | None
    label: str
    column: str
    table: Path | None
    images: Path | None
    encoders: list[str] | None
    group_pattern: str
    classes: list[str] | None
    per_slide: int
    seed: int
    centre: str = ""
    centre_pattern: str = ""
    unit: str = "patch"
    #: The encoder has to read words, which is looked at before any work.
    words: bool = False

    def check(self) -> None:
        if self.images is not None and (
            self.spaces or self.label or self.column or self.table is not None or self.centre
        ):
            raise UsageError(
                "--images takes its labels from its folders",
                remedy="Name a folder of images, or what a lake has.",
            )
        if self.images is None and (self.encoders or self.group_pattern or self.centre_pattern):
            raise UsageError(
                "--encoder and patterns are of images", remedy="Pass --images FOLDER, or a --space."
            )
        if self.unit not in ("patch", "slide"):
            raise UsageError(f"--unit {self.unit}", remedy="Choose patch or slide.")


def sources_of(session: Session, wanted: Wanted) -> "list[tuple[Labelled, PatchEncoder | None]]":
    """The labelled rows of each space or encoder, and the encoder where it is known."""
    wanted.check()
    found = list(_of_images(session, wanted) if wanted.images is not None else _of_lake(session, wanted))
    classes = tuple(dict.fromkeys(wanted.classes or ()))
    return [(rows.of_classes(classes) if classes else rows, encoder) for rows, encoder in found]


def _of_images(session: Session, wanted: Wanted) -> "Iterator[tuple[Labelled, PatchEncoder]]":
    from slidelake.encoders import create_encoder
    from slidelake.index.probing import check_reads_text, labelled_images

    assert wanted.images is not None
    for name in dict.fromkeys(wanted.encoders or ["stain-texture"]):
        encoder = create_encoder(name)
        if wanted.words:
            check_reads_text(encoder)
        with WorkProgress(session.errors, f"encoding with {name}", unit="images") as progress:
            rows = labelled_images(
                wanted.images,
                encoder,
                group_pattern=wanted.group_pattern,
                centre_pattern=wanted.centre_pattern,
                progress=progress,
            )
        yield rows, encoder


def _of_lake(session: Session, wanted: Wanted) -> "Iterator[tuple[Labelled, PatchEncoder | None]]":
    from slidelake.index.probing import lake_patches, text_side

    store = session.lake().store
    for name in dict.fromkeys(wanted.spaces or [""]):
        space = store.resolve_space(name or None)
        encoder = text_side(store, space) if wanted.words else None
        with session.errors.status(f"reading {space}"):
            rows = lake_patches(
                store,
                space,
                metadata=wanted.label,
                column=wanted.column,
                table=wanted.table,
                centre=wanted.centre,
                unit=cast(Literal["patch", "slide"], wanted.unit),
                per_slide=wanted.per_slide,
                seed=wanted.seed,
            )
        yield rows, encoder
