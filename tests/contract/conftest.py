"""What the contract suites share."""

import os

import pytest


@pytest.fixture
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be written without waiting for the disk: processes die in these tests, and no machine does."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
