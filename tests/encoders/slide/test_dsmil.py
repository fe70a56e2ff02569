from typing import ClassVar

from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests


class TestDSMIL(SlideModelTests, LearnsPlantedRows):
    name = "dsmil"
    learning: ClassVar = {"hidden": 32}
    attention_share = (
        0.2  # its softmax over likenesses in (−1, 1) · √32 cannot be sharp; by chance it is 0.01
    )


class TestAverage(SlideModelTests):
    name = "dsmil"
    options: ClassVar = {"hidden": 16, "average": True}
