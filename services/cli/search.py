"""`slidelake search`: where else does this appear, and which report says so?"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.search_reports import search_reports
from slidelake.services.cli.session import Session, command


def _parse_place(text: str) -> tuple[int, int]:
    x, _, y = text.partition(",")
    try:
        return int(x), int(y)
    except ValueError as exc:
        raise UsageError(
            f"--at {text!r} is not a place",
            remedy="Write --at X,Y in level-0 pixels, for example --at 5120,2048.",
        ) from exc


class Find(StrEnum):
    """What a region can find."""

    patches = "patches"
    slides = "slides"


def _parse_box(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(each) for each in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise UsageError(
            f"--region {text!r} is not a box",
            remedy="Write --region X,Y,W,H in level-0 pixels, for example --region 4096,2048,2048,2048.",
        )
    return numbers


def register(app: typer.Typer) -> None:
    @command(app, "search", epilog="Example: slidelake search --slide S1 --at 5120,2048 -k 20 --store lake")
    def search(
        session: Session,
        slide: Annotated[str | None, typer.Option(help="Slide id of the query.")] = None,
        at: Annotated[
            str | None, typer.Option(metavar="X,Y", help="Level-0 pixel in the query patch.")
        ] = None,
        region: Annotated[
            str | None,
            typer.Option(
                metavar="X,Y,W,H", help="A box on the slide, level-0 pixels: its patches are the query."
            ),
        ] = None,
        find: Annotated[Find | None, typer.Option(help="What a region finds; patches by default.")] = None,
        image: Annotated[Path | None, typer.Option(help="An image file as the query.")] = None,
        mpp: Annotated[float | None, typer.Option(help="µm per pixel of --image; else the space's.")] = None,
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        aggregator: Annotated[str, typer.Option(help="For a whole slide as query.")] = "mean",
        k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many hits.")] = 20,
        where: Annotated[
            list[str] | None,
            typer.Option(metavar="FILTER", help="site=lung, age>=50, 'stage in I,II'; repeatable."),
        ] = None,
        exclude_same_patient: Annotated[
            bool, typer.Option("--exclude-same-patient", help="Leave out the query's own patient.")
        ] = False,
        exclude_patient: Annotated[str | None, typer.Option(help="Leave out this patient.")] = None,
        exact: Annotated[bool, typer.Option("--exact", help="Compare with every patch.")] = False,
        text: Annotated[
            str | None,
            typer.Option(
                help="Words as the query: --in reports, or for patches where the encoder reads words."
            ),
        ] = None,
        within: Annotated[
            str, typer.Option("--in", help="Where --text is looked for: reports, or patches (the default).")
        ] = "",
        mode: Annotated[str, typer.Option(help="With --text: hybrid, text or vector.")] = "hybrid",
        out: Annotated[Path, typer.Option(help="Gallery: OUT.png and OUT.html.")] = Path("hits"),
        gallery: Annotated[bool, typer.Option("--gallery/--no-gallery", help="Draw the pictures.")] = True,
    ) -> int:
        """Find the patches (or, for a whole slide, the slides) that look most alike."""
        if sum(each is not None for each in (slide, image, text)) != 1:
            raise UsageError(
                "a search needs one query",
                remedy="Pass --slide ID (alone, with --at X,Y or with --region X,Y,W,H), or --image FILE, or --text "
                "WORDS --in reports.",
            )
        if within not in ("", "patches", "reports") or (within and text is None):
            raise UsageError(f"nothing is looked for in {within!r}", remedy="Pass --text with --in reports.")
        if text is not None and within == "reports":
            return search_reports(session, text, k, mode, where, exclude_patient)
        result = session.lake().search(
            slide=slide,
            at=_parse_place(at) if at else None,
            region=_parse_box(region) if region else None,
            find=find.value if find is not None else None,
            image=image,
            mpp=mpp,
            text=text,
            space=space,
            aggregator=aggregator,
            k=k,
            where=where or None,
            exclude_same_patient=exclude_same_patient,
            exclude_patient=exclude_patient,
            exact=True if exact else None,
        )
        pictures: dict[str, str] = {}
        if gallery and len(result):
            pictures = {name: str(path) for name, path in result.save(out).items()}
        code = 0 if len(result) else 4
        session.emit(
            {
                "ok": True,
                "exit_code": code,
                "space": result.space,
                "notes": list(result.notes),
                "hits": result.to_dicts(),
                "pictures": pictures,
            }
        )
        table = Table()
        for column in ("rank", "score", "slide", "x,y", "patient", "metadata"):
            table.add_column(column, overflow="fold")
        for hit in result:
            place = "" if hit.row is None else f"{hit.x},{hit.y}"
            facts = ", ".join(
                f"{key}={value}" for key, value in hit.metadata.items() if value not in (None, "")
            )
            table.add_row(
                str(hit.rank),
                f"{hit.score:.4f}",
                escape(hit.slide_id),
                place,
                escape(hit.patient_id),
                escape(facts),
            )
        session.say(table)
        for note in result.notes:
            session.errors.print(f"note: {escape(note)}", soft_wrap=True)
        for path in pictures.values():
            session.say(f"picture: {escape(path)}")
        return code
