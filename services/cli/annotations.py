"""`slidelake annotations export|import|list`: what people drew, as QuPath's GeoJSON."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

NameOption = Annotated[str, typer.Option("--name", help="The set of annotations.")]
QuPathOption = Annotated[
    bool, typer.Option("--qupath/--level0", help="Coordinates as QuPath counts them (they differ for MIRAX).")
]


def register(app: typer.Typer) -> None:
    annotations = typer.Typer(
        help="What people drew on slides, as GeoJSON that QuPath reads and writes.",
        epilog="Example: slidelake annotations export S1 --out S1.geojson --store lake",
        no_args_is_help=True,
    )
    app.add_typer(annotations, name="annotations")

    @command(
        annotations, "export", epilog="Example: slidelake annotations export S1 --out S1.geojson --store lake"
    )
    def export(
        session: Session,
        slide: Annotated[str, typer.Argument(help="Slide id.")],
        out: Annotated[
            Path | None, typer.Option(help="File to write; SLIDE.NAME.geojson by default.")
        ] = None,
        name: NameOption = "default",
        qupath: QuPathOption = True,
    ) -> int:
        """Write a slide's annotations to a file that QuPath imports."""
        from slidelake.services.qupath import qupath_origin
        from slidelake.store import moved

        store = session.lake(create=False).store
        found = store.annotations.read(slide, name)
        if not found.features:
            raise UsageError(
                f"there are no annotations {name!r} of this slide",
                remedy=f"It has: {', '.join(store.annotations.names(slide)) or 'none'}.",
                slide=slide,
            )
        (x, y), note = qupath_origin(store, slide) if qupath else ((0, 0), "")
        path = out or Path(f"{found.slide_id}.{name}.geojson")
        collection = {**found.to_geojson(), "features": moved(found.features, -x, -y)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(collection, ensure_ascii=False) + "\n", encoding="utf-8")
        notes = [note] if note else []
        session.emit({"ok": True, "file": str(path), "features": len(found.features), "notes": notes})
        session.say(f"{len(found.features)} features: {escape(str(path))}")
        for each in notes:
            session.errors.print(f"note: {escape(each)}", soft_wrap=True)
        return 0

    @command(annotations, "import", epilog="Example: slidelake annotations import S1 S1.geojson --store lake")
    def import_(
        session: Session,
        slide: Annotated[str, typer.Argument(help="Slide id.")],
        file: Annotated[Path, typer.Argument(help="GeoJSON, of QuPath or another program.")],
        name: NameOption = "default",
        qupath: QuPathOption = True,
        replace: Annotated[bool, typer.Option("--replace", help="Over the set that is there.")] = False,
    ) -> int:
        """Keep a GeoJSON file as a slide's annotations."""
        from slidelake.services.qupath import qupath_origin
        from slidelake.store import parse_geojson

        if not file.is_file():
            raise UsageError(f"there is no file {file}", remedy="Give a GeoJSON file.")
        store = session.lake(create=False).store
        there = store.annotations.read(slide, name)
        if there.features and not replace:
            raise UsageError(
                f"there are {len(there.features)} annotations {name!r} already",
                remedy="Pass --replace, or another --name.",
                slide=slide,
            )
        origin, note = qupath_origin(store, slide) if qupath else ((0, 0), "")
        made = store.annotations.put(
            slide, parse_geojson(file.read_bytes()), name, after=there.version, origin=origin
        )
        notes = [*made.notes, *([note] if note else [])]
        session.emit({"ok": True, "features": len(made.features), "version": made.version, "notes": notes})
        session.say(f"{len(made.features)} features kept as {escape(name)} of {escape(made.slide_id)}")
        for each in notes:
            session.errors.print(f"note: {escape(each)}", soft_wrap=True)
        return 0

    @command(annotations, "list", epilog="Example: slidelake annotations list S1 --store lake")
    def list_(session: Session, slide: Annotated[str, typer.Argument(help="Slide id.")]) -> int:
        """Say which sets a slide has."""
        store = session.lake(create=False).store
        sets = [store.annotations.read(slide, name) for name in store.annotations.names(slide)]
        told = [{"name": each.name, "features": len(each.features), "changed": each.changed} for each in sets]
        session.emit({"ok": True, "sets": told})
        for each in sets:
            session.say(f"{escape(each.name)}: {len(each.features)} features, changed {each.changed[:19]}")
        if not sets:
            session.say("no annotations")
        return 0
