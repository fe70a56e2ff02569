"""The sheet of pictures is drawn from rows, whatever parts there are."""

import pytest
from PIL import Image

from benchmarks import plot_gated_attention
from benchmarks.attention.plan import TINY
from benchmarks.attention.rows import write_rows
from tests.benchmarks.attention.rows_of import rows_of


def milliseconds(case, side, mode):
    return sum(case.lengths) * 1e-6 * len(side) + 0.1


def draw(rows, folder):
    write_rows(folder / "rows.csv", rows)
    code = plot_gated_attention.main([str(folder / "rows.csv"), str(folder / "made" / "sheet.png")])
    return code, folder / "made" / "sheet.png"


def test_a_band_for_each_size_each_count_and_the_memory(tmp_path):
    rows = rows_of(TINY, milliseconds, extra_mib=lambda *_: 50.0)
    code, whole = draw(rows, tmp_path)
    assert code == 0
    with Image.open(whole) as image:
        tall, colours = image.height, image.convert("RGB").getcolors(1 << 24)
    assert len(colours or []) > 100
    code, part = draw([row for row in rows if row.part == "rows"], tmp_path / "part")
    assert code == 0
    with Image.open(part) as image:
        assert image.height < tall / 2


def test_rows_without_times(tmp_path, capsys):
    assert draw([], tmp_path)[0] == 1
    assert "holds no times" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="none of the parts"):
        draw([row for row in rows_of(TINY, milliseconds) if row.part == "features"], tmp_path)
