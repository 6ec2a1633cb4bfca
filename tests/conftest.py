"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from built_site import build_site

HERE = Path(__file__).parent
LONGEST_FIRST = (
    *(
        "train/test_train.py",
        "faults",
        "data/align/test_array_bounds.py",
        "data/work",
        "train/run",
        "train/reproduction",
    ),
    *("data/common/test_compiler.py", "data/common/test_dask_cluster.py", "data/test_build.py", "train/test_export.py"),
    *("train/enhancing", "train/cpu", "browser", "data/align", "data/inspection", "data"),
)
"""Files and folders in the order in which two processes take them: a long one that begins last leaves the other idle.
The first two need different compiled code, so that a new clone does not compile the same twice."""


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist keep our order; its own is by the number of tests, and the longest files have few.

    Processes may keep what they make of the sources: hundreds are started, and each would translate the program anew.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file nothing moves."""
    places = [HERE / name for name in LONGEST_FIRST]
    assert all(place.exists() for place in places)
    ranks = {
        path: next((rank for rank, place in enumerate(places) if path.is_relative_to(place)), len(places))
        for path in {item.path for item in items}
    }
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photos and reference outputs that do not ship with the project; skips where it is missing."""
    folder = Path(os.environ.get("DPED_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set DPED_SHARED_DATA to its folder")
    return folder


@pytest.fixture(autouse=True)
def ctrl_c_stays_pytest_s() -> Iterator[None]:
    """Commands take Ctrl-C over, also where a test calls them: pytest and its workers get it back."""
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests/faults has done to the program: faults, those survived, bytes compared, mutations."""
    counts: dict[str, Counter[str]] = {"injected": Counter(), "survived": Counter(), "mutations": Counter()}
    compared = 0
    for report in terminalreporter.getreports(""):  # what a fixture counts is in the report of the teardown
        for name, text in report.user_properties if report.when == "teardown" else ():
            if name == "faults":
                facts = json.loads(text)
                compared += facts.pop("bytes", 0)
                for key, values in facts.items():
                    counts[key].update(values)
    for title, what in (("injected", "faults"), ("mutations", "mutations")):
        if total := counts[title].total():
            kinds = ", ".join(f"{count} {kind}" for kind, count in counts[title].most_common())
            terminalreporter.write_line(f"{what}: {total} ({kinds})")
    if counts["injected"]:
        survived = counts["survived"].total()
        terminalreporter.write_line(f"faults survived: {survived}, {compared:,} bytes compared with undisturbed runs")


@pytest.fixture(scope="session")
def docs_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The docs site, built once."""
    folder = tmp_path_factory.mktemp("site")
    result = build_site(Path(__file__).parents[1], folder)
    assert result.returncode == 0, result.stderr
    return folder
