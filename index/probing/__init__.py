"""What features know: few-shot and zero-shot classification of labelled patches, and robustness to the centre."""

from slidelake.index.probing.few_shot import SHOTS, FewShot, FewShotPoint, few_shot
from slidelake.index.probing.images import labelled_images, near_identical
from slidelake.index.probing.labelled import Labelled
from slidelake.index.probing.lake import lake_patches
from slidelake.index.probing.plots import draw_few_shot, draw_robustness, draw_zero_shot
from slidelake.index.probing.robustness import Robustness, robustness_index
from slidelake.index.probing.zero_shot import TEMPLATES, ZeroShot, check_reads_text, text_side, zero_shot

__all__ = [
    "SHOTS",
    "TEMPLATES",
    "FewShot",
    "FewShotPoint",
    "Labelled",
    "Robustness",
    "ZeroShot",
    "check_reads_text",
    "draw_few_shot",
    "draw_robustness",
    "draw_zero_shot",
    "few_shot",
    "labelled_images",
    "lake_patches",
    "near_identical",
    "robustness_index",
    "text_side",
    "zero_shot",
]
