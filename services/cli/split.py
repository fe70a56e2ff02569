"""`slidelake split`: who is trained on, validated on and tested on, by patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.store.streaming import Splits


def _parse_parts(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = item.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError as exc:
            raise UsageError(
                f"--parts {text!r} gives no shares", remedy="Write --parts train=0.7,val=0.1,test=0.2."
            ) from exc
    if len(shares) < len(text.split(",")):
        raise UsageError(f"--parts {text!r} names a part twice", remedy="Name each part once.")
    return shares


def _rows(splits: "Splits") -> list[dict[str, Any]]:
    """What the table shows: patients, slides and patches of each part (or fold) and class."""
    rows = []
    for name, patients in splits.buckets.items():
        classes = splits.counts[name]
        if splits.stratified and set(classes) - {"all"}:
            rows += [{"part": name, "class": group, **count} for group, count in classes.items()]
        # A patient may have slides of several classes, but is one patient.
        sums = {key: sum(count[key] for count in classes.values()) for key in ("slides", "patches")}
        rows.append({"part": name, "class": "all", "patients": len(patients), **sums})
    return rows


def register(app: typer.Typer) -> None:
    @command(
        app, "split", epilog="Example: slidelake split splits.json --label diagnosis --folds 5 --store lake"
    )
    def split(
        session: Session,
        out: Annotated[Path, typer.Argument(metavar="OUT.json", help="The file to write.")],
        label: Annotated[
            str | None, typer.Option(metavar="COLUMN", help="Stratify by the class in this column.")
        ] = None,
        number: Annotated[
            str | None, typer.Option(metavar="COLUMN", help="Stratify by quantiles of this column.")
        ] = None,
        survival: Annotated[
            str | None, typer.Option(metavar="TIME,EVENT", help="Stratify by event and time: two columns.")
        ] = None,
        labels: Annotated[
            Path | None,
            typer.Option(metavar="FILE.csv", help="Where the labels stand; else in the lake's metadata."),
        ] = None,
        folds: Annotated[
            int | None, typer.Option(help="Folds of a cross-validation, in place of parts.")
        ] = None,
        parts: Annotated[
            str | None, typer.Option(metavar="NAME=SHARE,…", help="Default: train=0.7,val=0.1,test=0.2.")
        ] = None,
        by: Annotated[
            str, typer.Option(metavar="COLUMN", help="Keep together, besides patients: a site, for instance.")
        ] = "patient",
        seed: Annotated[int, typer.Option(help="Another seed, other splits.")] = 0,
        keep: Annotated[
            Path | None,
            typer.Option(metavar="OLD.json", help="Leave every patient where these splits have it."),
        ] = None,
        snapshot: Annotated[
            str | None, typer.Option(metavar="NAME", help="Split the lake as this snapshot pinned it.")
        ] = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.json.")] = False,
    ) -> int:
        """Divide the lake's slides by patient into parts or folds, and save them for every later training."""
        from slidelake.store.streaming import (
            Classification,
            Labels,
            Regression,
            Splits,
            Survival,
            make_splits,
        )

        if sum(each is not None for each in (label, number, survival)) > 1:
            raise UsageError(
                "there is more than one target", remedy="Pass one of --label, --number, --survival."
            )
        target: Classification | Regression | Survival | None = None
        if label is not None:
            target = Classification(label)
        elif number is not None:
            target = Regression(number)
        elif survival is not None:
            time, comma, event = survival.partition(",")
            if not comma:
                raise UsageError(f"--survival {survival!r} names one column", remedy="Write TIME,EVENT.")
            target = Survival(time.strip(), event.strip())
        elif labels is not None:
            raise UsageError("a file of labels alone says nothing", remedy="Name its column with --label.")
        if out.exists() and not overwrite and keep != out:
            raise UsageError(
                f"{out} is there already",
                remedy=f"Pass --keep {out} to add new patients to it, or --overwrite.",
            )
        store = session.lake().store
        store = store.at(snapshot) if snapshot else store
        catalog = store.catalog()
        if catalog.empty:
            session.emit({"ok": False, "exit_code": 4, "parts": []})
            session.say("there are no slides in the lake")
            return 4
        read = None
        if target is not None:
            read = Labels.read(store if labels is None else labels, target, store=store)
        splits = make_splits(
            catalog,
            labels=read,
            parts=None if parts is None else _parse_parts(parts),
            folds=folds,
            by=by,
            seed=seed,
            keep=None if keep is None else Splits.load(keep),
        )
        splits.save(out, overwrite=overwrite or keep == out)
        rows = _rows(splits)
        session.emit(
            {
                "ok": True,
                "exit_code": 0,
                "path": str(out),
                "seed": seed,
                "folds": folds,
                "stratified": splits.stratified,
                "counts": rows,
                "notes": list(splits.notes),
            }
        )
        table = Table()
        for column in ("fold" if folds else "part", "class", "patients", "slides", "patches"):
            left = column in ("fold", "part", "class")
            table.add_column(column, overflow="fold", justify="left" if left else "right")
        for row in rows:
            numbers = [f"{row[key]:,}" for key in ("patients", "slides", "patches")]
            table.add_row(escape(row["part"]), escape(row["class"]), *numbers)
        session.say(table)
        for note in splits.notes:
            session.errors.print(f"note: {escape(note)}", soft_wrap=True)
        session.say(f"saved: {escape(str(out))}")
        return 0
