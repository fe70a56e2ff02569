"""The selection of one slide: arms, rules, reasons, seeds, and slides that give little."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import QueryError, SlidelakeError, UnknownSlideError, UnknownSpaceError, UsageError
from slidelake.index.representatives import SelectionOptions, Texts, select_representatives
from slidelake.store import FeatureStore
from tests.index.lakes import FOOTPRINT, features, put_slide
from tests.index.representatives.colour_words import (
    MIXED,
    ColourWords,
    new_store,
    patches_of,
    put_coloured,
    put_report,
)

#: Nothing is dropped for being alike or near.
PLAIN = {"near": 1.0, "spread": 0.0}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = new_store(tmp_path)
    put_coloured(store, "S1", MIXED)
    put_report(store, "MICROSCOPIC DESCRIPTION\nNests of purple cells with necrosis.\n")
    return store


def test_each_arm_picks_by_its_own_light(store: FeatureStore) -> None:
    texts = Texts(attributes=["blue cells", "yellow mucin"])
    picked = select_representatives(store, "S1", texts=texts, count=18, **PLAIN)
    assert picked.counts == {"report": 3, "attributes": 3, "clusters": 12}
    assert len(set(picked.rows.tolist())) == len(picked) == 18
    by_report = [pick for pick in picked.reasons if pick.arm == "report"]
    assert {MIXED[pick.row] for pick in by_report} == {"purple"}
    assert [pick.rank for pick in by_report] == [1, 2, 3]
    assert by_report[0].query == "Nests of purple cells with necrosis."
    assert by_report[0].reason == "number 1 for the report: Nests of purple cells with necrosis."
    # Queries take turns: blue, yellow, blue.
    by_prompt = [pick for pick in picked.reasons if pick.arm == "attributes"]
    assert [MIXED[pick.row] for pick in by_prompt] == ["blue", "yellow", "blue"]
    assert [pick.rank for pick in by_prompt] == [1, 1, 2]
    assert picked.notes == ("the grid has no column pen: patches were not judged by it",)


def test_scores_are_the_true_cosines(store: FeatureStore) -> None:
    picked = select_representatives(store, "S1", count=18, **PLAIN)
    encoder = ColourWords()
    rows = np.asarray(store.bag("S1").features, np.float64)
    for pick in picked.reasons:
        if pick.arm != "clusters":
            text = encoder.encode_text([pick.query])[0].astype(np.float64)
            cosine = rows[pick.row] @ text / np.linalg.norm(rows[pick.row]) / np.linalg.norm(text)
            assert pick.score == pytest.approx(cosine, abs=1e-5)
            nearer = rows @ text / np.linalg.norm(rows, axis=1) / np.linalg.norm(text) > cosine + 1e-6
            assert nearer.sum() == pick.rank - 1
    assert "nothing says where the tissue is from: attribute prompts for any tissue" in picked.notes


def test_clusters_are_the_colours_and_share_alike(store: FeatureStore) -> None:
    picked = select_representatives(store, "S1", texts=Texts((), ()), count=15, clusters=5, **PLAIN)
    assert picked.counts == {"clusters": 15}
    named = {(MIXED[pick.row], pick.cluster) for pick in picked.reasons}
    assert len(named) == len({cluster for _, cluster in named}) == 5
    assert [pick.rank for pick in picked.reasons] == [1] * 5 + [2] * 5 + [3] * 5


def test_pathgens_numbers_are_the_default() -> None:
    assert SelectionOptions().quotas == {"report": 64, "attributes": 64, "clusters": 256}
    assert (SelectionOptions().near, SelectionOptions().clusters) == (0.88, None)
    assert SelectionOptions(count=1).quotas == {"report": 0, "attributes": 0, "clusters": 1}


def test_as_many_clusters_as_the_root_of_the_rows_but_not_more_than_picks(store: FeatureStore) -> None:
    no_texts = Texts((), ())
    many = select_representatives(store, "S1", texts=no_texts, count=60, **PLAIN)
    assert len({pick.cluster for pick in many.reasons}) == 8  # the root of 60 is 7.7
    few = select_representatives(store, "S1", texts=no_texts, count=4, **PLAIN)
    assert sorted(pick.cluster for pick in few.reasons) == [0, 1, 2, 3]


def test_near_duplicates_go_the_more_likely_the_more_alike(tmp_path: Path) -> None:
    """Pairs of a given cosine, each pair far from all others: of 400 pairs the share that the law says loses one."""
    store = new_store(tmp_path)
    pairs, cosine, near = 400, 0.94, 0.88
    rng = np.random.default_rng(0)
    one = np.linalg.qr(rng.normal(size=(2 * pairs, 2 * pairs)))[0]
    other = cosine * one[:pairs] + np.sqrt(1 - cosine**2) * one[pairs:]
    rows = np.concatenate([one[:pairs], other]).astype(np.float32)
    put_coloured(store, "S1", ["red"] * 2 * pairs, features=rows)
    options = {"texts": Texts((), ()), "count": 2 * pairs, "clusters": 4, "near": near, "spread": 0.0}
    picked = select_representatives(store, "S1", **options)
    dropped = picked.dropped["near-duplicate"]
    assert len(picked) == 2 * pairs - dropped
    wanted = (cosine - near) / (1 - near)
    # Four standard deviations of a count of 400 draws.
    assert abs(dropped / pairs - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / pairs)
    kept = rows[picked.rows] @ rows[picked.rows].T
    assert (np.triu(kept, 1) > near).sum() == pairs - dropped
    assert select_representatives(store, "S1", **options | {"near": 0.95}).dropped["near-duplicate"] == 0


def test_of_equal_patches_one_is_left(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    put_coloured(
        store, "S1", ["red"] * 20 + ["blue"] * 20, features=np.repeat(np.eye(2, 4), 20, 0).astype(np.float32)
    )
    picked = select_representatives(store, "S1", texts=Texts((), ()), spread=0.0)
    assert sorted(picked.rows // 20) == [0, 1]
    assert picked.dropped["near-duplicate"] == 38


def test_picks_keep_their_distance(store: FeatureStore) -> None:
    far = select_representatives(store, "S1", count=60, near=1.0, spread=2)
    apart = np.abs(far.coords[:, None].astype(int) - far.coords[None]).max(axis=2)
    assert apart[np.triu_indices(len(far), 1)].min() >= 2 * FOOTPRINT
    assert far.dropped["spacing"] > 0
    assert len(far) + far.dropped["spacing"] == 60
    assert len(select_representatives(store, "S1", count=60, near=1.0, spread=1)) == 60
    px = select_representatives(store, "S1", count=60, near=1.0, spread=0, spread_px=2 * FOOTPRINT)
    assert px.rows.tolist() == far.rows.tolist()


def test_overlapping_patches_are_not_both_picked(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    put_coloured(store, "S1", MIXED, stride=FOOTPRINT // 2)
    picked = select_representatives(store, "S1", count=60, near=1.0)
    apart = np.abs(picked.coords[:, None].astype(int) - picked.coords[None]).max(axis=2)
    assert apart[np.triu_indices(len(picked), 1)].min() >= FOOTPRINT


def test_what_is_dropped_can_be_replaced(store: FeatureStore) -> None:
    sparse = select_representatives(store, "S1", count=12, near=1.0, spread=2)
    full = select_representatives(store, "S1", count=12, near=1.0, spread=2, refill=True)
    assert len(sparse) < len(full) == 12


def test_poor_patches_are_left_out_and_counted(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    columns = {name: np.full(60, value, np.uint8) for name, value in (("tissue", 200), ("blur", 20))}
    columns["tissue"][:10] = 30
    columns["blur"][5:20] = 250
    put_coloured(store, "S1", MIXED, columns=columns)
    picked = select_representatives(store, "S1", count=60, **PLAIN)
    assert sorted(picked.rows.tolist()) == list(range(20, 60))
    assert (picked.dropped["tissue>=64"], picked.dropped["blur<=230"]) == (10, 10)
    assert "the grid has no column pen: patches were not judged by it" in picked.notes
    assert "40 patches to pick from are fewer than the 60 asked for" in picked.notes
    loose = select_representatives(store, "S1", count=60, quality=["blur<=240"], **PLAIN)
    assert len(loose) == 45
    assert len(select_representatives(store, "S1", count=60, quality=[], **PLAIN)) == 60
    with pytest.raises(SlidelakeError, match=r"S1: no patch is within the bounds of quality \(tissue>=250\)"):
        select_representatives(store, "S1", quality=["tissue>=250"])


def test_the_seed_decides_and_nothing_else(store: FeatureStore, tmp_path: Path) -> None:
    def told(seed: int) -> str:
        return json.dumps(select_representatives(store, "S1", count=30, seed=seed).to_dict())

    first = told(1)
    assert told(1) == first
    assert told(2) != first
    # A fresh process with more threads, where no pool of theirs was at work before.
    code = (
        "import json, sys; from slidelake.store import FeatureStore;"
        "from slidelake.index.representatives import select_representatives;"
        "made = select_representatives(FeatureStore.open(sys.argv[1]), 'S1', count=30, seed=1);"
        "print(json.dumps(made.to_dict()))"
    )
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "4")
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lake")],
        capture_output=True, text=True, check=True, env={**os.environ, **threads, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.stdout.strip() == first


def test_other_slides_change_nothing(store: FeatureStore) -> None:
    before = select_representatives(store, "S1", count=30).to_dict()
    put_coloured(store, "S0", MIXED[::-1], patient="P0")
    put_report(store, "Blue fat.", report_id="R0", patient="P0")
    assert select_representatives(store, "S1", count=30).to_dict() == before


def test_reports_of_the_slide_or_of_its_patient(store: FeatureStore) -> None:
    put_coloured(store, "S2", MIXED)
    put_report(store, "Nests of yellow cells.", report_id="R2", slide_ids=("S2",))
    asked = {
        pick.query for pick in select_representatives(store, "S2", count=30).reasons if pick.arm == "report"
    }
    assert asked == {"Nests of purple cells with necrosis.", "Nests of yellow cells."}
    asked = {
        pick.query for pick in select_representatives(store, "S1", count=30).reasons if pick.arm == "report"
    }
    assert asked == {"Nests of purple cells with necrosis."}


def test_a_slide_without_report_and_one_whose_report_says_nothing(store: FeatureStore) -> None:
    put_coloured(store, "S3", MIXED, patient="P3")
    picked = select_representatives(store, "S3", count=30, **PLAIN)
    assert picked.counts == {"attributes": 5, "clusters": 25}
    assert "the slide has no report: its arm is left out" in picked.notes
    put_report(store, "CLINICAL HISTORY\nPain.\n", report_id="R3", patient="P3")
    picked = select_representatives(store, "S3", count=30, **PLAIN)
    assert "its reports say nothing that a slide shows: their arm is left out" in picked.notes


def test_an_encoder_that_reads_no_text(tmp_path: Path) -> None:
    from slidelake.encoders import create_encoder

    store = FeatureStore.open(tmp_path / "lake", create=True)
    encoder = create_encoder("colour-histogram")
    rows = encoder.encode(patches_of(MIXED))
    known = {"encoder": encoder.spec.fingerprint()}
    put_slide(store, "S1", rows, encoder=encoder.spec.encoder_id, provenance=known)
    picked = select_representatives(store, "S1", count=24, **PLAIN)
    assert picked.counts == {"clusters": 24}
    assert "the space's encoder colour-histogram reads no text: text arms left out" in picked.notes
    with pytest.raises(
        QueryError, match="texts were given, and the space's encoder colour-histogram reads no text"
    ):
        select_representatives(store, "S1", texts=Texts(attributes=["nuclei"]))


def test_an_encoder_that_is_not_here(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    put_slide(store, "S1", features(1, 30))
    picked = select_representatives(store, "S1", count=12)
    assert any(note.startswith("the space's encoder cannot be made here") for note in picked.notes)
    assert len({pick.cluster for pick in picked.reasons}) == 4 or picked.dropped["near-duplicate"]


def test_an_encoder_may_be_handed_over(store: FeatureStore) -> None:
    class Wrong(ColourWords):
        def encode_text(self, texts):
            return super().encode_text(texts)[:, :5]

    with pytest.raises(QueryError, match="texts have 5 dimensions, and the features 12"):
        select_representatives(store, "S1", encoder=Wrong())

    class Silent(ColourWords):
        def encode_text(self, texts):
            return 0 * super().encode_text(texts)

    with pytest.raises(QueryError, match="or no directions"):
        select_representatives(store, "S1", encoder=Silent())


def test_rows_without_a_direction_are_never_picked(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = ColourWords().encode(patches_of(MIXED))
    rows[3] = 0
    valid = np.ones(60, np.uint8)
    valid[4] = 0
    put_coloured(store, "S1", MIXED, features=rows, valid=valid)
    # What no writer lets in, a damaged disk may hold.
    [file] = (
        path
        for path in (tmp_path / "lake").rglob("*")
        if path.is_file() and rows[5].tobytes() in path.read_bytes()
    )
    damaged = rows[5].copy()
    damaged[:2] = np.nan
    file.write_bytes(file.read_bytes().replace(rows[5].tobytes(), damaged.tobytes()))
    picked = select_representatives(store, "S1", count=60, **PLAIN)
    assert sorted(picked.rows.tolist()) == sorted(set(range(60)) - {3, 4, 5})
    assert (picked.dropped["unreadable"], picked.dropped["no direction"]) == (1, 2)


def test_a_slide_of_one_patch_and_of_none(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    put_coloured(store, "S1", ["red"])
    assert select_representatives(store, "S1").rows.tolist() == [0]
    put_coloured(store, "S2", ["red", "blue"], valid=np.zeros(2, np.uint8))
    with pytest.raises(SlidelakeError, match="S2: no row of the bag has features"):
        select_representatives(store, "S2")
    put_coloured(store, "S3", [], features=np.empty((0, 12), np.float32))
    with pytest.raises(SlidelakeError, match="S3: the bag is empty"):
        select_representatives(store, "S3")


def test_a_grid_that_does_not_say_how_large_a_patch_is(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    put_coloured(store, "S1", MIXED, footprint=False, columns={})
    picked = select_representatives(store, "S1", count=12)
    assert picked.footprint is None
    assert "the grid does not say how large a patch is: picks may lie side by side" in picked.notes
    assert picked.to_frame()["width"].isna().all()


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0}, {"count": -3}, {"count": 2.5}, {"near": 1.5}, {"near": float("nan")}, {"spread": -1},
        {"spread_px": float("inf")}, {"clusters": 0}, {"seed": -1}, {"quality": ["blur"]}, {"quality": ["blur<=900"]},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be(store: FeatureStore, options: dict) -> None:
    with pytest.raises(UsageError):
        select_representatives(store, "S1", **options)


def test_what_is_not_there(store: FeatureStore) -> None:
    with pytest.raises(UnknownSlideError, match="Did you mean S1"):
        select_representatives(store, "S11")
    with pytest.raises(UnknownSpaceError):
        select_representatives(store, "S1", "uni")
    with pytest.raises(UsageError, match="empty"):
        Texts(attributes=["nuclei", " "])
    with pytest.raises(UsageError, match="granite"):
        Texts(origin="granite")


def test_the_table_says_where_and_why(store: FeatureStore) -> None:
    picked = select_representatives(store, "S1", count=18, **PLAIN)
    table = picked.to_frame()
    assert list(table.columns) == [
        "slide_id", "patient_id", "row", "x", "y", "width", "height", "arm", "rank", "score", "query", "cluster",
    ]  # fmt: skip
    coords = store.grid("S1", picked.space.partition("/")[0]).coords
    assert (table[["x", "y"]].to_numpy() == coords[table["row"]]).all()
    assert set(table["patient_id"]) == {"P1"}
    assert (table["width"] == FOOTPRINT).all()


def test_a_space_in_which_everything_is_alike_says_so(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = 10 + np.random.default_rng(0).normal(size=(60, 12))
    put_coloured(store, "S1", MIXED, features=rows.astype(np.float32))
    picked = select_representatives(store, "S1", texts=Texts((), ()))
    assert any("near-duplicates begin higher" in note for note in picked.notes)
