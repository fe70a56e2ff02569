"""Run every benchmark in full; results go to benchmarks/results/<name>.json."""

import subprocess
import sys
from pathlib import Path

NAMES = (
    "encoder_retrieval",
    "ingest_small",
    "bag_read",
    "row_subset",
    "write",
    "compression",
    "catalog",
    "stream",
    "s3",
    "gated_attention",
    "mil_training",
    "mil_needle",
    "api_load",
    "ask_quality",
    "page",
    "probe",
    "tune_data",
    "tune",
)
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    RESULTS.mkdir(exist_ok=True)
    failed = []
    for name in NAMES:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(RESULTS / f"{name}.json")]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
