"""Write the README's table of figures from benchmarks/results/*.json, so that it cannot drift.

`--check` writes nothing and fails where the README differs (a test runs it).
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
DIGITS = 3


def table() -> str:
    rows = ["| benchmark | figure | value |", "| --- | --- | --- |"]
    sources = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        if path.name.endswith(".quick.json"):
            continue
        result = json.loads(path.read_text())
        rows += [
            f"| `{result['benchmark']}` | {key} | {_show(value)} |"
            for key, value in result["figures"].items()
        ]
        machine = result["machine"]
        sources.append(
            f"`python -m benchmarks.{result['benchmark']}` on {machine['cores']} cores "
            f"({machine['cpu']}{', ' + machine['gpu'] if machine.get('gpu') else ''}), {result['date'][:10]}"
        )
    return "\n".join([*rows, "", *(f"- {source}" for source in sources)])


def _show(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{DIGITS}f}"


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    wanted = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if "--check" in sys.argv:
        return 0 if wanted == text else 1
    readme.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
