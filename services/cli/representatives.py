"""`slidelake representatives`: the patches that stand for a slide, and why."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.markup import escape

from slidelake.errors import SlidelakeError, UsageError
from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.index.representatives import Representatives

TABLE = "representatives.jsonl"


def register(app: typer.Typer) -> None:
    @command(
        app,
        "representatives",
        epilog="Example: slidelake representatives S1 --count 96 --out picks --store lake",
    )
    def representatives(
        session: Session,
        slide: Annotated[
            list[str] | None, typer.Argument(metavar="[SLIDE]...", help="Slide ids; without any, all slides.")
        ] = None,
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        count: Annotated[
            int, typer.Option(help="Patches of a slide; a sixth each by report and prompts.")
        ] = 384,
        near: Annotated[
            float, typer.Option(help="Above this cosine near-duplicates are dropped by chance; 1: none.")
        ] = 0.88,
        spread: Annotated[
            float, typer.Option(help="Least distance of two picks in sides of a patch; 0: any.")
        ] = 1.0,
        spread_px: Annotated[
            float, typer.Option(help="The same in level-0 px; the larger one counts.")
        ] = 0.0,
        keep: Annotated[
            list[str] | None,
            typer.Option(
                metavar="BOUND",
                help="Quality by the grid's columns (0 to 255), as 'blur<=200'; may be given again; none: all are "
                "kept. Default: tissue>=64, blur<=230, pen<=25.",
            ),
        ] = None,
        clusters: Annotated[
            int | None, typer.Option(help="Of k-means; default: the root of the patches.")
        ] = None,
        refill: Annotated[
            bool, typer.Option("--refill", help="What is dropped is replaced by the next.")
        ] = False,
        report_text: Annotated[
            list[str] | None,
            typer.Option(metavar="TEXT", help="Query instead of the slide's reports; again."),
        ] = None,
        prompt: Annotated[
            list[str] | None, typer.Option(metavar="TEXT", help="Prompt instead of the table's; again.")
        ] = None,
        origin: Annotated[
            str, typer.Option(help="Where the tissue is from, for the table of prompts (kidney, BRCA, …).")
        ] = "",
        texts: Annotated[
            bool, typer.Option("--texts/--no-texts", help="Whether to pick by texts at all.")
        ] = True,
        seed: Annotated[int, typer.Option(help="The same seed picks the same patches.")] = 0,
        out: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help=f"Write {TABLE}, a contact sheet and a map a slide."),
        ] = None,
        pictures: Annotated[
            bool, typer.Option("--pictures/--no-pictures", help="Draw them into DIR.")
        ] = True,
    ) -> int:
        """Pick the patches that stand for a slide: by report text, attribute prompts and clusters."""
        from slidelake.index.representatives import Texts

        if out is not None and out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file", remedy="Name a folder with --out.")
        if not texts and (report_text or prompt or origin):
            raise UsageError("texts were given, and left out", remedy="Leave out --no-texts, or the texts.")
        asked = Texts(report_text or None, prompt or None, origin) if texts else Texts((), ())
        lake = session.lake()
        options: dict[str, Any] = {
            "count": count, "near": near, "spread": spread, "spread_px": spread_px, "clusters": clusters,
            "refill": refill, "seed": seed, "quality": [] if keep == ["none"] else keep or None,
        }  # fmt: skip
        made: list[dict[str, Any]] = []
        failed: list[SlidelakeError] = []
        with WorkProgress(session.errors, "picking") as progress, _table(out) as table:
            for each in lake.representatives_of(
                slide or None, space, texts=asked, progress=progress, **options
            ):
                if each.picked is None:
                    assert each.error is not None
                    failed.append(each.error)
                    continue
                files = lake.draw_representatives(each.picked, out) if out is not None and pictures else {}
                _write(table, each.picked)
                made.append(_told(session, each.picked, files))
        if slide and len(set(slide)) == 1 and failed:
            raise failed[0]
        for error in failed:
            session.errors.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        if out is not None and made:
            session.say(f"wrote {escape(str(out / TABLE))}")
        code = 3 if failed else 0 if made else 4
        session.emit(
            {
                "ok": code == 0,
                "exit_code": code,
                "slides": made,
                "failed": [
                    {"slide_id": error.slide, "problem": error.problem, "remedy": error.remedy}
                    for error in failed
                ],
                "table": str(out / TABLE) if out is not None and made else None,
            }
        )
        if code == 4:
            session.say("no slide has features in this space")
        return code


@contextmanager
def _table(out: Path | None) -> Iterator[TextIO | None]:
    """The file of picks, a line each; it is there when all slides are done, and not before."""
    if out is None:
        yield None
        return
    out.mkdir(parents=True, exist_ok=True)
    part = out / f".{TABLE}.part"
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(out / TABLE)
    finally:
        part.unlink(missing_ok=True)


def _write(table: TextIO | None, picked: "Representatives") -> None:
    if table is not None:
        for record in picked.to_frame().to_dict("records"):
            table.write(json.dumps(record, ensure_ascii=False) + "\n")


def _told(session: Session, picked: "Representatives", files: dict[str, Path]) -> dict[str, Any]:
    by_arm = ", ".join(f"{number:,} by {arm}" for arm, number in picked.counts.items())
    dropped = ", ".join(f"{number:,} {rule}" for rule, number in picked.dropped.items() if number)
    session.say(escape(f"{picked.slide_id}: {len(picked):,} of {picked.total:,} patches ({by_arm})"))
    if dropped:
        session.say(escape(f"  left out: {dropped}"))
    for note in picked.notes:
        session.say(escape(f"  {note}"))
    for path in files.values():
        session.say(escape(f"  wrote {path}"))
    return {**picked.to_dict(), "files": {kind: str(path) for kind, path in files.items()}}
