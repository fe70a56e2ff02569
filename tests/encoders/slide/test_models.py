"""A linear layer on the mean and the maximum of bags."""

from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests


class TestMean(SlideModelTests, LearnsPlantedRows):
    name = "mean"
    shift = 40.0  # 1 % of the rows: 0.4 standard deviations of one row in the mean
    rate = 0.1
    attention_share = 0.0


class TestMax(SlideModelTests, LearnsPlantedRows):
    name = "max"
    shift = 24.0
    rate = 0.1
    steps = 100
    attention_share = 0.0
