"""Four-plate nights on the simulated lab, broken off in every way; the figures of bench, a sample of each."""

from pathlib import Path

import pytest

from bench import killed, outages
from tests.support.four_plates import calm_night

pytestmark = [pytest.mark.long, pytest.mark.opentrons, pytest.mark.timeout(3600)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_killed_with_signal_9_at_every_moment_every_transfer_move_and_image_is_made_once():
    for figure in killed.measured(strides=(1, 4), n_single=12, n_random=20):
        assert ", 0 of " in figure.measured, figure


@pytest.mark.postgres
@pytest.mark.parametrize("lack", [outages.disk_full, outages.server_gone, outages.clock_set])
def test_what_a_night_lacks_for_a_while_costs_nothing_but_time(tmp_path: Path, monkeypatch, lack):
    for name, n in (("N_FULL", 3), ("N_GONE", 2), ("N_SET", 1), ("AWAY_S", 20.0)):
        monkeypatch.setattr(outages, name, n)
    for figure in lack(tmp_path, calm_night(tmp_path)):
        if figure.measured != "skipped":
            assert figure.measured.startswith("0 of ") or "the same" in figure.measured, figure
