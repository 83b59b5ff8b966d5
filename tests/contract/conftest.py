"""What the contract suites share."""

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import omero_rig
import opentrons_rig
import pytest
import sila_rig
from serial.urlhandler import protocol_socket
from standing import FOLDERS


@pytest.fixture
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be written without waiting for the disk: processes die in these tests, and no machine does."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)


@pytest.fixture(autouse=True)
def _emulators_end() -> Iterator[None]:
    """Close the emulators that a test's rig opened."""
    yield
    FOLDERS.close()
    omero_rig.LABS_BY_FOLDER.close()
    opentrons_rig.OPENTRONS_BY_FOLDER.close()


@pytest.fixture(autouse=True, scope="session")
def _servers_end() -> Iterator[None]:
    yield
    sila_rig.SHARED.close()


@pytest.fixture
def brisk_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sockets close at once: pyserial waits 0.3 s after each, and the LiCONiC service has one for each command."""
    monkeypatch.setattr(protocol_socket, "time", SimpleNamespace(sleep=lambda _s: None, time=time.time))


FORGIVEN = {
    # the vendor's engine leaves files and loops to the garbage collector
    "opentrons": ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # pyserial 3.5 leaves a socket that its peer has reset to it
    "liconic-service": ("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # gRPC ends its own sockets late; the driver's are closed
    "sila2": ("ignore::ResourceWarning",),
}
"""Warnings of other people's packages, by what stands in the name of a test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive other people's packages, and nobody else."""
    for item in items:
        for name, filters in FORGIVEN.items():
            if name in item.nodeid:
                for each in filters:
                    item.add_marker(pytest.mark.filterwarnings(each))
