"""What holds for every test: cases on real data are counted in the header, and nothing skips in CI."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import SHARED
from tests.store.s3_server import s3_bucket, s3_clients, s3_server  # noqa: F401 - fixtures that any test may ask for

# Without a GPU, Triton kernels run in Triton's interpreter, which has to be said before they are imported.
if not Path("/dev/nvidiactl").exists() and not Path("/dev/kfd").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

#: Tests on the real data carry this word in their name, so that the header can count them.
WORD = "shared"


def _header(ids: Sequence[str]) -> str:
    count = sum(WORD in name for name in ids)
    where = "found beside the checkout" if SHARED else "not beside the checkout"
    return f"real data: {where}, {count} cases read it"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cases on real data are parametrised over the files there are: over none, pytest would make a skip."""
    items[:] = [item for item in items if not _over_nothing(item)]


def _over_nothing(item: pytest.Item) -> bool:
    reasons = [str(mark.kwargs.get("reason", "")) for mark in item.iter_markers("skip")]
    return any(reason.startswith("got empty parameter set") for reason in reasons)


def pytest_report_collectionfinish(items: Sequence[pytest.Item]) -> str:
    return _header([item.nodeid for item in items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    if node.gateway.id == "gw0":
        reporter = node.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(_header(ids))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI"):
        terminalreporter.section("skips are failures in CI", red=True)
        for report in skipped:
            terminalreporter.write_line(f"{report.nodeid}: {report.longrepr}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
