"""Plans and pixels: classes on every slide, planted needles, blocks that fit together."""

import math

import numpy as np
import pytest

from slidelake.ingest.synthetic.layout import CELL, SlidePlan, cell_shares, plan_slide
from slidelake.ingest.synthetic.noise import cosine, decay, hash01, noise, noise_table, sine, worley
from slidelake.ingest.synthetic.render import render_pixels
from slidelake.ingest.synthetic.tissues import CLASS_NAMES, CLASSES, Field
from slidelake.ingest.synthetic.truth import label_cells


def plan(
    number: int = 0, needle: dict[str, float] | None = None, size: int = 4096, seed: int = 7
) -> SlidePlan:
    return plan_slide(
        seed=seed, number=number, patient=number // 2, width=size, height=size, needle=needle or {}
    )


@pytest.fixture(scope="module")
def plans() -> list[SlidePlan]:
    return [plan(number) for number in range(4)]


def test_each_slide_has_nearly_every_class(plans: list[SlidePlan]) -> None:
    for each in plans:
        present = set(np.unique(each.classes)) - {0}
        assert len(present) >= len(CLASS_NAMES) - 1
        assert 0.35 < (each.classes > 0).mean() < 0.85


def test_tissue_leaves_the_slides_edge_free(plans: list[SlidePlan]) -> None:
    for each in plans:
        classes = each.classes
        border = np.concatenate([classes[0], classes[-1], classes[:, 0], classes[:, -1]])
        assert not border.any()


def test_cell_shares_sum_to_one(plans: list[SlidePlan]) -> None:
    shares = cell_shares(plans[0].classes, 4096, 4096)
    assert shares.shape == (16, 16, 1 + len(CLASSES))
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0)


def test_ranges_of_the_classes_overlap() -> None:
    for field in (Field.EOSIN, Field.HAEMATOXYLIN, Field.CHROMATIN, Field.PITCH, Field.RADIUS):
        ranges = [tissue.ranges()[field - Field.EOSIN] for tissue in CLASSES]
        for index, (low, high) in enumerate(ranges):
            others = ranges[:index] + ranges[index + 1 :]
            assert any(a < high and low < b for a, b in others), (field, CLASSES[index].name)


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_needles_are_planted_with_their_share(share: float) -> None:
    index = CLASS_NAMES.index("lymphocytes") + 1
    needles = tissue = 0
    for number in range(16):
        each = plan(number, {"lymphocytes": share})
        shares = cell_shares(each.classes, 4096, 4096)
        found = [label for label in label_cells(each) if label.name == "lymphocytes"]
        needles += len(found)
        tissue += int((shares[..., 0] < 0.15).sum())
        # Nowhere else: what is not in a planted cell is its rounded rim.
        assert (each.classes == index).sum() <= 2.1 * max(len(found), 1) * (CELL // 8) ** 2
    assert abs(needles / tissue - share) < 0.35 * share + 0.002


def test_needle_classes_are_planted_beside_each_other() -> None:
    each = plan(1, {"fat": 0.05, "mucin": 0.05})
    counts = {name: sum(label.name == name for label in label_cells(each)) for name in CLASS_NAMES}
    assert 1 <= counts["fat"] <= 15
    assert 1 <= counts["mucin"] <= 15
    assert sum(counts.values()) > 40


def test_any_part_of_a_slide_renders_as_it_does_in_a_larger_part() -> None:
    for each in (plan(0), plan(3)):
        left, top = 1500, 1400
        large = render_pixels(each, left, top, 600, 500)
        for x, y, w, h in ((0, 0, 64, 64), (301, 203, 150, 77), (500, 400, 100, 100)):
            part = render_pixels(each, left + x, top + y, w, h)
            np.testing.assert_array_equal(part, large[y : y + h, x : x + w])


def test_elementary_functions_are_what_they_say() -> None:
    for x in (0.0, 1e-3, 0.5, 1.0, 3.3, 9.0):
        assert decay(x) == pytest.approx(math.exp(-x), abs=1e-9)
        assert sine(x) == pytest.approx(math.sin(2 * math.pi * x), abs=1e-6)
        assert cosine(-x) == pytest.approx(math.cos(2 * math.pi * x), abs=1e-6)
    assert decay(100.0) == 0.0
    assert decay(-1.0) == 1.0


def test_noise_is_uniformly_seeded_and_continuous() -> None:
    draws = np.array([hash01(3.0, i, j, 0) for i in range(-40, 40) for j in range(-40, 40)])
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    assert len(set(draws.tolist())) == draws.size
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(draws.std() - 12**-0.5) < 0.01
    table = noise_table(np.random.Generator(np.random.Philox(1)))
    for x, y in ((-3.2, 8.0), (255.999, 4.5), (1000.0, -0.001)):
        assert abs(noise(table, x, y) - noise(table, x + 1e-6, y + 1e-6)) < 1e-4
        assert noise(table, x, y) == pytest.approx(noise(table, x + 256.0, y - 256.0), abs=1e-9)
    near, far, _, _ = worley(5.0, 12.0, -80.0, 20.0, 0.8)
    assert 0.0 <= near <= far < 60.0
