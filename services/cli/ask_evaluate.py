"""`slidelake ask-evaluate`: do answers cite the right reports, and abstain where there is none?"""

from pathlib import Path
from typing import Annotated, cast

import typer

from slidelake.services.cli.progress import WorkProgress
from slidelake.services.cli.session import Session, command


def register(app: typer.Typer) -> None:
    @command(app, "ask-evaluate", epilog="Example: slidelake ask-evaluate --part test --store lake")
    def ask_evaluate(
        session: Session,
        records: Annotated[
            Path | None,
            typer.Argument(help="JSONL with labels of these reports; else the lake's own texts alone."),
        ] = None,
        part: Annotated[
            str, typer.Option(help="develop or practice, to choose by; test or confirm, to report.")
        ] = "test",
        seed: Annotated[int, typer.Option(help="Which half of the reports is which.")] = 0,
        endpoint: Annotated[
            str | None, typer.Option(metavar="URL", help="Who writes the answers. [env: SLIDELAKE_LLM_URL]")
        ] = None,
        model: Annotated[
            str | None, typer.Option(metavar="NAME", help="Its model. [env: SLIDELAKE_LLM_MODEL]")
        ] = None,
    ) -> int:
        """Ask questions made from the lake's reports: citation precision, answered share, abstentions."""
        from slidelake.index.reports import Part, make_questions, read_records, records_of
        from slidelake.services.answers import Endpoint, evaluate_answers

        lake = session.lake()
        own = read_records(str(records), lake.store.reports.ids()) if records else records_of(lake.store)
        asked = make_questions(own, seed=seed, part=cast(Part, part))
        with WorkProgress(session.errors, "asking", unit="questions") as progress:
            result = evaluate_answers(
                lake, asked, endpoint=Endpoint.from_environment(endpoint, model), progress=progress
            ).to_dict()
        session.emit({"ok": True, "part": part, "seed": seed, **result})
        for kind, count in result["questions"].items():
            session.say(f"{count} {kind} questions")
        for kind, share in result["citation_precision"].items():
            right = result["right_rate"][kind]
            session.say(
                f"{kind}: {share:.1%} of citations lead to a report that answers; {right:.1%} of questions have one"
            )
        session.say(f"answered {result['answered_rate']:.1%} of those with an answer in the archive")
        session.say(f"abstained on {result['abstain_rate']:.1%} of those without one")
        return 0
