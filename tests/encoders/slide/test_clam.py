from typing import ClassVar

from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests


class TestSingleBranch(SlideModelTests, LearnsPlantedRows):
    name = "clam-sb"
    options: ClassVar = {"projection": 32, "hidden": 16}
    learning: ClassVar = {"projection": 32, "hidden": 16}


class TestMultiBranch(SlideModelTests, LearnsPlantedRows):
    name = "clam-mb"
    options: ClassVar = {"projection": 32, "hidden": 16, "subtyping": True, "instance_loss": "cross-entropy"}
    learning: ClassVar = {"projection": 32, "hidden": 16}
