"""Representative patches of a slide: by report text, by attribute prompts, and by clusters of its features."""

from slidelake.index.representatives.attributes import ATTRIBUTES, attribute_prompts, known_origin
from slidelake.index.representatives.cohort import Chosen, select_cohort
from slidelake.index.representatives.options import SelectionOptions
from slidelake.index.representatives.picks import ARMS, Arm, Pick, Representatives
from slidelake.index.representatives.quality import DEFAULT_QUALITY, Bound, parse_bound
from slidelake.index.representatives.report_text import report_paragraphs
from slidelake.index.representatives.select import select_representatives
from slidelake.index.representatives.texts import Texts

__all__ = [
    "ARMS",
    "ATTRIBUTES",
    "DEFAULT_QUALITY",
    "Arm",
    "Bound",
    "Chosen",
    "Pick",
    "Representatives",
    "SelectionOptions",
    "Texts",
    "attribute_prompts",
    "known_origin",
    "parse_bound",
    "report_paragraphs",
    "select_cohort",
    "select_representatives",
]
