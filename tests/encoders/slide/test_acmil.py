from typing import ClassVar

from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests


class TestACMIL(SlideModelTests, LearnsPlantedRows):
    name = "acmil"
    options: ClassVar = {"projection": 20, "hidden": 16}
    learning: ClassVar = {"projection": 32, "hidden": 16}
