from typing import ClassVar

from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests


class TestPatient(SlideModelTests, LearnsPlantedRows):
    name = "patient"
    learning: ClassVar = {"hidden": 16, "inner_options": {"hidden": 32}}


class TestPatientClam(SlideModelTests):
    name = "patient"
    options: ClassVar = {"inner": "clam-mb", "hidden": 16, "inner_options": {"projection": 32, "hidden": 16}}


class TestPatientMean(SlideModelTests):
    name = "patient"
    options: ClassVar = {"inner": "mean", "hidden": 16, "dropout": 0.25}
