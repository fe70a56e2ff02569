"""`slidelake snapshot`: pin what is in the lake under a name."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.store import Snapshot

SnapshotOption = Annotated[
    str | None, typer.Option("--snapshot", metavar="NAME", help="As the lake was in this snapshot.")
]


def described(snapshot: "Snapshot") -> dict[str, Any]:
    """A snapshot in a few words; its slides' ids and commits are left out."""
    return {
        "name": snapshot.name,
        "time": snapshot.time,
        "note": snapshot.note,
        "slides": len(snapshot.slides),
        "commits": sum(map(len, snapshot.slides.values())),
        "spaces": snapshot.spaces,
        "gone": snapshot.gone,
        "metadata_generation": snapshot.metadata_generation,
    }


def register(app: typer.Typer) -> None:
    @command(app, "snapshot", epilog="Example: slidelake snapshot v1 --note 'for the paper' --store lake")
    def snapshot(
        session: Session,
        name: Annotated[str | None, typer.Argument(help="What to call it.")] = None,
        space: Annotated[
            list[str] | None,
            typer.Option(metavar="SPACE", help="Only slides and bags of this space; may be given again."),
        ] = None,
        slide: Annotated[
            list[str] | None, typer.Option(metavar="ID", help="Only this slide; may be given again.")
        ] = None,
        note: Annotated[str, typer.Option(help="A line for those who find it.")] = "",
        list_: Annotated[
            bool, typer.Option("--list", help="List the snapshots, or show the one named.")
        ] = False,
        remove: Annotated[
            bool, typer.Option("--remove", help="Remove it; gc may then take what only it held.")
        ] = False,
    ) -> None:
        """Pin the live commits and the metadata under a name; readers, loaders and verify take the name."""
        snapshots = session.lake().store.snapshots
        if list_ or name is None:
            if remove or space or slide or note:
                raise UsageError("a snapshot needs a name", remedy="Write slidelake snapshot NAME.")
            names = [name] if name else snapshots.names()
            found = [described(snapshots.read(each)) for each in names]
            session.emit({"ok": True, "snapshots": found})
            session.say(
                _table(found) if found else "there are no snapshots: slidelake snapshot NAME makes one"
            )
        elif remove:
            snapshots.remove(name)
            session.emit({"ok": True, "removed": name})
            session.say(f"{escape(name)} is no more; what it held stays until gc finds nothing that names it")
        else:
            made = described(snapshots.create(name, note, spaces=space, slides=slide))
            session.emit({"ok": True, **made})
            session.say(
                f"{escape(name)}: {made['slides']:,} slides, {made['commits']:,} commits of {made['time']}"
            )


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table()
    for column in ("snapshot", "time", "slides", "deleted since", "spaces", "note"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(
            escape(each["name"]),
            each["time"],
            f"{each['slides']:,}",
            f"{each['gone']:,}" if each["gone"] else "",
            escape(", ".join(each["spaces"] or ["all"])),
            escape(each["note"]),
        )
    return table
