"""What the contract suites share."""

import os
from collections.abc import Iterator

import pytest
from incubator_rig import LABS_BY_FOLDER
from opentrons_rig import OPENTRONS_BY_FOLDER


@pytest.fixture
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be written without waiting for the disk: processes die in these tests, and no machine does."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)


@pytest.fixture(autouse=True)
def _emulators_end() -> Iterator[None]:
    """Close the emulators that a test's rig opened."""
    yield
    LABS_BY_FOLDER.close()
    OPENTRONS_BY_FOLDER.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive the vendor's engine, which leaves files and loops to the garbage collector, and nobody else."""
    for item in items:
        if "opentrons" in item.nodeid:
            for kind in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
