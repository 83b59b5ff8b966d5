"""What the contract suites share."""

import os
from collections.abc import Iterator

import incubator_rig
import omero_rig
import opentrons_rig
import pytest
import washer_rig


@pytest.fixture
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be written without waiting for the disk: processes die in these tests, and no machine does."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)


@pytest.fixture(autouse=True)
def _emulators_end() -> Iterator[None]:
    """Close the emulators that a test's rig opened."""
    yield
    incubator_rig.LABS_BY_FOLDER.close()
    washer_rig.LABS_BY_FOLDER.close()
    omero_rig.LABS_BY_FOLDER.close()
    opentrons_rig.OPENTRONS_BY_FOLDER.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive the vendor's engine, which leaves files and loops to the garbage collector, and nobody else."""
    for item in items:
        if "opentrons" in item.nodeid:
            for kind in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
