"""ABMIL, and its options."""

from typing import ClassVar

from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests


class TestABMIL(SlideModelTests, LearnsPlantedRows):
    name = "abmil"
    learning: ClassVar = {"hidden": 32}


class TestOptions(SlideModelTests, LearnsPlantedRows):
    name = "abmil"
    options: ClassVar = {"hidden": 16, "branches": 3, "gated": False, "dropout": 0.25, "projection": 20}
    learning: ClassVar = {"hidden": 16, "branches": 2, "gated": False, "dropout": 0.25, "projection": 20}
