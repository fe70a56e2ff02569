"""`slidelake ask`: what do the reports say?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.services.answers import Answer

_EXAMPLE = 'Example: slidelake ask "Which patients had lymphovascular invasion?" --store lake'


def _numbers(text: str, count: int, option: str, form: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise UsageError(f"{option} {text!r} is no place", remedy=f"Write {option} {form} in level-0 pixels.")
    return numbers


def register(app: typer.Typer) -> None:
    @command(app, "ask", epilog=_EXAMPLE)
    def ask(
        session: Session,
        question: Annotated[str, typer.Argument(help="The question, in words.")],
        slide: Annotated[str | None, typer.Option(help="A slide that it is about.")] = None,
        at: Annotated[
            str | None, typer.Option(metavar="X,Y", help="A patch of the slide: a level-0 pixel in it.")
        ] = None,
        region: Annotated[
            str | None, typer.Option(metavar="X,Y,W,H", help="A region of the slide, level-0 px.")
        ] = None,
        space: Annotated[
            str | None, typer.Option(help="Grid and encoder; needed where there are several.")
        ] = None,
        exclude_own_report: Annotated[
            bool,
            typer.Option("--exclude-own-report", help="Leave out all that is known of the slide's patient."),
        ] = False,
        k: Annotated[int | None, typer.Option("-k", "--k", help="Passages at most. [default: 8]")] = None,
        examples: Annotated[
            int, typer.Option(help="Labelled cases of other patients that look alike, at most.")
        ] = 0,
        label: Annotated[
            str | None, typer.Option(metavar="COLUMN", help="The metadata column with the cases' labels.")
        ] = None,
        endpoint: Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="OpenAI-compatible endpoint that writes the answer. [env: SLIDELAKE_LLM_URL]",
            ),
        ] = None,
        model: Annotated[
            str | None, typer.Option(metavar="NAME", help="Its model. [env: SLIDELAKE_LLM_MODEL]")
        ] = None,
        pictures: Annotated[
            bool, typer.Option("--pictures", help="Send the endpoint pictures of the patches too.")
        ] = False,
        probe: Annotated[
            bool,
            typer.Option("--probe-image-use", help="Ask again without the place and with other tissue."),
        ] = False,
    ) -> int:
        """Answer a question from the reports, with citations; exit code 4 where they do not answer it.

        Without an endpoint the answer is made of quotes. Its key is read from SLIDELAKE_LLM_KEY.
        """
        from slidelake.services.answers import Endpoint

        about: dict[str, Any] = {
            "slide": slide,
            "at": tuple(_numbers(at, 2, "--at", "X,Y")) if at else None,
            "region": {"box": _numbers(region, 4, "--region", "X,Y,W,H")} if region else None,
            "space": space,
            "exclude_own_report": exclude_own_report,
            "k": k,
            "examples": examples,
            "label": label,
            "endpoint": Endpoint.from_environment(endpoint, model, sees=pictures),
        }
        lake = session.lake()
        if probe:
            use = lake.probe_image_use(question, **about)
            answer, extra = use.answer, {"image_use": use.to_dict()}
        else:
            use, answer, extra = None, lake.ask(question, **about), {}
        code = 4 if answer.abstained else 0
        session.emit({"ok": True, "exit_code": code, **answer.to_dict(), **extra})
        _show(session, answer)
        if use is not None:
            session.say("\n" + escape(use.describe()))
        return code


def _show(session: Session, answer: "Answer") -> None:
    from slidelake.services.answers import NOTICE

    out = session.console
    out.print(escape(answer.text), soft_wrap=True)
    if answer.citations:
        out.print()
        for citation in answer.citations:
            out.print(escape(citation.describe()), soft_wrap=True)
            if citation.slide_link and citation.slide_link != citation.link:
                out.print(f"    {escape(citation.slide_link)}", soft_wrap=True)
    for note in answer.notes:
        session.errors.print(f"note: {escape(note)}", soft_wrap=True)
    session.errors.print(f"[dim]{NOTICE}[/dim]")
