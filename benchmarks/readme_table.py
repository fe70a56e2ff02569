"""Write the README's figures from benchmarks/results/*.json, so that they cannot drift.

`--check` writes nothing and fails where the README differs (a test runs it).
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ENCODERS = {"": "stain-texture", "_colour_histogram": "colour histogram", "_random": "chance"}
SETS = {
    "atlas": "synthetic atlas (9 classes)",
    "lc25000_lung": "LC25000 lung (3 classes)",
    "idc": "IDC breast (2 classes)",
    "kather2016": "Kather colorectal (8 classes, 24 patches)",
}
STAINS = {
    "": "as it is",
    "_shifted": "another laboratory's (± 30 %, ± 8°)",
    "_shifted_inside": "drawn within that range",
}


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    body = "\n\n".join(
        [
            *_store(),
            *_retrieval(_result("encoder_retrieval")),
            *_ingest(_result("ingest_small")),
            *_kernels(),
            *_slides(),
            *_served(),
            *_tuned(),
        ]
    )
    wanted = f"{head}{BEGIN}\n{body}\n{END}{tail}"
    if "--check" in sys.argv:
        return 0 if wanted == text else 1
    readme.write_text(wanted)
    return 0


def _results(name: str) -> Path:
    return ROOT / "benchmarks" / "results" / f"{name}.json"


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(_results(name).read_text())
    return result


#: (script, key, what is told, unit or sign before and after the figure)
STORE = (
    (
        "bag_read",
        "fresh_vs_npload_100k",
        "a whole bag of 100,000 × 1,024 float16, warm",
        "{:.2f} × `np.load`",
    ),
    ("bag_read", "reused_vs_npload_100k", "the same into a reused buffer", "{:.2f} × `np.load`"),
    ("bag_read", "vs_trident_h5_100k", "the same beside HDF5 as TRIDENT and CLAM write it", "{:.0f} ×"),
    ("bag_read", "vs_zarr_python_100k", "the same beside zarr-python", "{:.1f} ×"),
    ("bag_read", "open_first_row_ms", "a bag opened by its name, first row read", "{:.2f} ms"),
    (
        "row_subset",
        "time_vs_memmap",
        "4,096 of 100,000 rows, opening included",
        "{:.2f} × the time of `np.memmap`",
    ),
    ("write", "vs_npsave", "features written, checksum made, synced", "{:.2f} × `np.save`"),
    ("stream", "vs_npload", "`BagLoader` over 40 bags of 8,000", "{:.2f} × a bare `np.load` loop"),
    (
        "stream",
        "vs_h5_dataloader",
        "the same beside a `DataLoader` over TRIDENT's HDF5, 2 workers",
        "{:.0f} ×",
    ),
    ("stream", "wait_share_5ms_step", "share of a loop with steps of 5 ms that waits for bags", "{:.1%}"),
    ("catalog", "list_10k_s", "the table of 10,000 slides, catalog valid", "{:.2f} s"),
    ("catalog", "open_ms", "any bag of 10,000 opened", "{:.2f} ms"),
    ("s3", "rate_kept_at_20ms", "reading rate that 20 ms of latency leave, bags in flight", "{:.2f}"),
)


def _store() -> list[str]:
    rows = ["| the store | figure | least to most |", "| --- | --- | --- |"]
    for script, key, what, shape in STORE:
        result = _result(script)
        low, high = result["ranges"].get(key, (result["figures"][key],) * 2)
        number = shape.partition("}")[0] + "}"
        rows.append(
            f"| {what} | {shape.format(result['figures'][key])} | {number.format(low)} to {number.format(high)} |"
        )
    results = [
        _result(script) for script in dict.fromkeys([*(script for script, *_ in STORE), "compression"])
    ]
    made = ", ".join(
        f"`benchmarks.{each['benchmark']}{' --quick' if each['quick'] else ''}`" for each in results
    )
    told = f"By `python -m` {made}; {_where(results[0])}."
    return ["\n".join(rows), *_compression(results[-1]), told]


def _compression(result: dict[str, Any]) -> list[str]:
    figures = result["figures"]
    told = ", ".join(
        f"{name} {figures[f'size_{name}']:.2f} of the size at {figures[f'read_vs_none_{name}']:.2f} of the reading rate"
        for name in ("zstd", "blosc", "pcodec")
    )
    return [f"Real features hardly shrink, so that lakes are not compressed unless asked for: {told}."]


def _retrieval(result: dict[str, Any]) -> list[str]:
    figures = result["figures"]
    rows = [
        f"| mAP@5 | queries' stain | {' | '.join(ENCODERS.values())} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, name in SETS.items():
        for shift, stain in STAINS.items():
            cells = [f"{figures[f'map5_{key}{suffix}{shift}']:.3f}" for suffix in ENCODERS]
            rows.append(f"| {name} | {stain} | {' | '.join(cells)} |")
    p10 = [f"{figures[f'p10_atlas_{name}']:.3f}" for name in ("stain_texture", "colour_histogram", "random")]
    rows.append(f"| synthetic atlas, precision@10 | as it is | {' | '.join(p10)} |")
    speed = (
        f"One core encodes {figures['patches_per_s_core']:,.0f} patches of 256 px a second with `stain-texture`, "
        f"{figures['patches_per_s_core_colour_histogram']:,.0f} with the histogram."
    )
    return ["\n".join(rows), speed, _source(result)]


def _ingest(result: dict[str, Any]) -> list[str]:
    figures = result["figures"]
    told = (
        f"A whole ingest of six small slides with `stain-texture`: {figures['patches_per_s']:,.0f} patches/s "
        f"({figures['share_decode']:.0%} of the work is decoding, {figures['share_encode']:.0%} encoding, "
        f"{figures['share_write']:.1%} writing), {figures['vs_plain_loop']:.2f} × the rate of a plain loop of "
        f"OpenSlide, the same encoder and `np.save` over the same patches, which finds no tissue, measures no "
        f"blur and commits nothing; peak memory {figures['peak_rss_mib']:,.0f} MiB."
    )
    return [told, _source(result)]


#: (key, what is told, how): of the chunked back end on a CPU.
KERNEL_ON_CPU = (
    ("cpu_extra_mib_131072", "memory beyond the inputs, forward and backward, N 131,072", "{:.0f} MiB"),
    ("cpu_extra_mib_1048576", "the same, N 1,048,576", "{:.0f} MiB"),
    ("cpu_extra_mib_eager_131072", "the same by the eager back end, N 131,072", "{:.0f} MiB"),
    ("cpu_fwd_time_vs_eager", "forward, N 131,072", "{:.2f} × the time of eager"),
    ("cpu_bwd_time_vs_eager", "backward, activations computed again", "{:.2f} × the time of eager"),
    ("cpu_bwd_store_time_vs_eager", "backward, activations stored", "{:.2f} × the time of eager"),
)
#: The same of the sweep on a GPU: bfloat16, N 1,048,576 where nothing else is said.
KERNEL_ON_GPU = (
    ("roofline_share_fwd", "forward, D 1024, L 256", "{:.0%} of the rate of `torch.mm`"),
    ("fwd_vs_compile_1024_256", "the same beside `torch.compile`", "{:.2f} × as fast"),
    ("fwd_vs_compile_384_128", "forward, D 384, L 128, beside `torch.compile`", "{:.2f} × as fast"),
    ("packed_vs_loop", "64 bags of 1,000 to 100,000 rows in one call, beside a loop", "{:.1f} × as fast"),
    ("extra_mib_1m", "memory of a step beyond the inputs, memory mode", "{:.0f} MiB"),
    ("extra_mib_1m_eager", "the same by plain torch", "{:,.0f} MiB"),
    ("worst_vs_eager", "the shape least in favour of the default, beside plain torch", "{:.2f} × as fast"),
    ("worst_vs_eager_triton", "the same of the fused back end everywhere", "{:.2f} × as fast"),
)


def _kernels() -> list[str]:
    """One table for the CPU and one for each GPU that there are results of."""
    tables = []
    for path in sorted(_results("").parent.glob("gated_attention*.json")):
        if ".quick" in path.suffixes:
            continue
        result: dict[str, Any] = json.loads(path.read_text())
        told = KERNEL_ON_GPU if path.stem != "gated_attention" else KERNEL_ON_CPU
        where = result["machine"]["gpu"] if told is KERNEL_ON_GPU else "a CPU, float32, D 512, L 256"
        rows = [f"| gated attention pooling on {where} | figure |", "| --- | --- |"]
        rows += [
            f"| {what} | {how.format(result['figures'][key])} |"
            for key, what, how in told
            if key in result["figures"]
        ]
        tables += ["\n".join(rows), _source(result)]
    return tables


#: (script, key, what is told, how): of slide encoders.
SLIDES = (
    (
        "mil_needle",
        "auroc_mean",
        "10 planted patches of 2,000, held-out patients, median of five draws: mean",
        "AUROC {:.3f}",
    ),
    ("mil_needle", "auroc_abmil", "the same: ABMIL", "AUROC {:.3f}"),
    ("mil_needle", "auroc_clam", "the same: CLAM-SB", "AUROC {:.3f}"),
    ("mil_needle", "auroc_acmil", "the same: ACMIL", "AUROC {:.3f}"),
    (
        "mil_needle",
        "attention_ap",
        "ABMIL's attention finds the planted patches (chance 0.005)",
        "average precision {:.3f}",
    ),
    ("mil_training", "vs_in_memory", "ABMIL trained from the lake, in slides/s", "{:.2f} × from memory"),
    ("mil_training", "wait_share", "of which it waits for bags", "{:.1%}"),
    (
        "mil_training",
        "vs_clam_h5_loop",
        "beside CLAM's way: batch 1 over HDF5 of TRIDENT's layout",
        "{:.1f} ×",
    ),
    ("mil_training", "vs_torchmil", "beside torchmil's ABMIL, which keeps all bags in memory", "{:.2f} ×"),
    (
        "mil_training",
        "linear_vs_h5_loop",
        "a linear layer on mean-pooled bags, beside the HDF5 loop",
        "{:.1f} ×",
    ),
)


#: The same of what people touch.
SERVED = (
    (
        "api_load",
        "search_p95_ms",
        "search over 200,000 patches, 20/s beside 100 tiles/s: 95th percentile",
        "{:.0f} ms",
    ),
    ("api_load", "tile_p95_ms", "a warm tile in the same minute: 95th percentile", "{:.0f} ms"),
    ("api_load", "errors", "answers that were errors, in all requests of the run", "{:.0f}"),
    ("api_load", "rss_growth_mib", "the server's memory over 10,000 requests", "{:+.1f} MiB"),
    ("page", "first_slide_s", "the page in Chromium: first slide to be seen", "{:.2f} s"),
    ("page", "click_to_gallery_ms", "from a click to the gallery, 200,000 patches", "{:.0f} ms"),
    ("ask_quality", "recall5_text", "400 real reports, asked in other words: recall@5 by terms", "{:.3f}"),
    ("ask_quality", "recall5_vector", "the same by MiniLM's vectors", "{:.3f}"),
    ("ask_quality", "recall5_hybrid", "the same by both", "{:.3f}"),
    ("ask_quality", "citation_precision", "citations that name the report that holds the answer", "{:.3f}"),
    ("ask_quality", "abstain_rate", "questions without an answer that are left unanswered", "{:.3f}"),
    ("ask_quality", "answered_rate", "questions with an answer that are answered", "{:.3f}"),
    *(
        (
            "ask_quality",
            f"{key}_confirm",
            f"{told}, in words of an author who knew no synonyms of ours",
            "{:.3f}",
        )
        for key, told in (
            ("recall5_hybrid", "recall@5"),
            ("citation_precision", "right citations"),
            ("abstain_rate", "left unanswered rightly"),
            ("answered_rate", "answered"),
        )
    ),
)


TUNED = (
    ("tune_data", "reports_rows", "rows of tuning data that 400 real reports give, by rules", "{:,.0f}"),
    ("tune_data", "reports_seconds", "the time for them", "{:.1f} s"),
    ("tune_data", "captions_rows", "rows left of 10,638 real captions and questions", "{:,.0f}"),
    ("tune_data", "reports_resolved", "rows whose evidence resolves", "{:.3f}"),
    (
        "tune",
        "closed_tuned",
        "held-out patients of a synthetic cohort, closed questions (chance 0.125): tuned",
        "{:.3f}",
    ),
    ("tune", "closed_untuned", "the same: not tuned", "{:.3f}"),
    ("tune", "closed_text_only", "the same: tuned without features", "{:.3f}"),
    ("tune", "closed_shuffled", "the same: tuned on other slides' features", "{:.3f}"),
    ("tune", "closed_phase_2_alone", "the same: phase 2 alone, half the tokens", "{:.3f}"),
    ("tune", "closed_phase_2_twice", "the same: phase 2 alone, as many tokens", "{:.3f}"),
)


def _tuned() -> list[str]:
    return _rows("tuning", TUNED)


def _slides() -> list[str]:
    return _rows("slide encoders", SLIDES)


def _served() -> list[str]:
    return _rows("the API, the page, reports", SERVED)


def _rows(title: str, told: tuple[tuple[str, str, str, str], ...]) -> list[str]:
    """A table of figures from the results that there are."""
    scripts = list(dict.fromkeys(script for script, *_ in told))
    there = [name for name in scripts if _results(name).exists()]
    if not there:
        return []
    rows = [f"| {title} | figure | least to most |", "| --- | --- | --- |"]
    for script, key, what, shape in told:
        if script not in there:
            continue
        result = _result(script)
        low, high = result["ranges"].get(key, (result["figures"][key],) * 2)
        number = "{" + shape.partition("{")[2].partition("}")[0] + "}"
        figure = shape.format(result["figures"][key])
        rows.append(f"| {what} | {figure} | {number.format(low)} to {number.format(high)} |")
    commands = " and ".join(f"`python -m benchmarks.{name}`" for name in there)
    return ["\n".join(rows), f"{commands}, {_where(_result(there[0]))}."]


def _source(result: dict[str, Any]) -> str:
    return f"`python -m benchmarks.{result['benchmark']}`, {_where(result)}."


def _where(result: dict[str, Any]) -> str:
    machine = result["machine"]
    device = f", {machine['gpu']}" if machine.get("gpu") else ""
    return f"{machine['cores']} cores ({machine['cpu']}{device}), {result['date'][:10]}"


if __name__ == "__main__":
    sys.exit(main())
