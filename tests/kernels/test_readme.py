"""The README's Python is run, and what it says of shapes holds; its table of winners is one."""

import json
import re

from slidelake.kernels.winners import Mode, Winner
from tests.readme_commands import python_blocks
from tests.repository import ROOT

README = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")


def test_examples_run_and_give_the_shapes_they_say():
    blocks = python_blocks(README)
    assert len(blocks) == 2
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block.text, f"README.md:{block.line}", "exec"), names)
        found = [names[name] for name in ("pooled", "scores", "lse")]
        assert [tuple(x.shape) for x in found] == [(2, 1, 512), (1, 940), (2, 1)]


def test_table_of_winners_is_one():
    (text,) = re.findall(r"```json\n(.*?)```", README, flags=re.DOTALL)
    for row in json.loads(text)["winners"]:
        found = Winner(**row)
        assert all(Mode.parse(mode) for mode in (*found.forward, *found.training))
