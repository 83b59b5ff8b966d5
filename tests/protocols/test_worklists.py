"""Work lists: what is read back is what was planned, whatever names and wells hold."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worklist_lab import NASTY, names, protocols, small_protocol

from nextplate.errors import DataError, PlanError
from protocols.model import DeckRole, Protocol
from protocols.worklists.columns import WELLS, ColumnMapping, read_columns, read_mapping, write_columns
from protocols.worklists.echo import EchoPlates, read_echo, write_echo
from protocols.worklists.gwl import read_gwl, write_gwl
from protocols.worklists.names import Names
from protocols.worklists.picks import pick_of
from protocols.worklists.plr import read_plr, write_plr

FEW = settings(max_examples=60, deadline=None)


def _picks(protocol: Protocol) -> tuple[object, ...]:
    return tuple(pick_of(t) for t in protocol.transfers)


@FEW
@given(protocols())
def test_gwl_comes_back(protocol: Protocol) -> None:
    text = write_gwl(protocol, 0).text
    assert text.isascii()
    assert read_gwl(text) == _picks(protocol)


@FEW
@given(protocols(step_nl=5))
def test_an_echo_list_comes_back(protocol: Protocol) -> None:
    made = write_echo(protocol, 0)
    assert made.text.isascii()
    assert read_echo(made.text, Names.from_csv(made.names.to_csv())) == _picks(protocol)


@FEW
@given(
    protocols(step_nl=1),
    st.sampled_from(["uL", "nL"]),
    st.sampled_from(WELLS),
    st.sampled_from([(".", ","), (",", ";"), (".", "\t"), (",", "|")]),
    st.booleans(),
)
def test_a_mapped_table_comes_back(
    protocol: Protocol, unit: str, well: str, marks: tuple[str, str], head: bool
) -> None:
    columns = {
        "Vol": "volume", "Quelle, Platte": "source_plate", "SW": "source_well", 'Ziel "Platte"': "destination_plate",
        "DW": "destination_well", "Name": "compound", "Tip": "tip_well", "Rack": "tip_rack", "Slot": "source_slot",
    }  # fmt: skip
    mapping = ColumnMapping(columns, unit, well, marks[0], marks[1], head, 3, {"Class": "Water"})
    made = write_columns(protocol, 0, mapping)
    kinds = {item.barcode: item.labware for item in protocol.loads[0].deck}
    assert made.text.isascii()
    assert read_columns(made.text, kinds, mapping, Names.from_csv(made.names.to_csv())) == _picks(protocol)


@FEW
@given(protocols(step_nl=1))
def test_a_pylabrobot_script_comes_back(protocol: Protocol) -> None:
    text = write_plr(protocol, 0).text
    assert text.isascii()
    assert read_plr(text) == _picks(protocol)


@given(st.lists(names, max_size=20))
def test_labels_are_plain_and_tell_names_apart(wanted: list[str]) -> None:
    made = Names.of(wanted)
    labels = [made.label(name) for name in dict.fromkeys(wanted)]
    assert len({label.casefold() for label in labels}) == len(labels)
    assert all(label.isascii() and label[0].isalnum() and len(label) <= 32 for label in labels)
    assert not any(sign in label for label in labels for sign in ";,\"'\t\r\n|")
    back = Names.from_csv(made.to_csv())
    assert [back.name(label) for label in labels] == list(dict.fromkeys(wanted))


def test_no_cell_of_a_list_is_a_formula() -> None:
    protocol = small_protocol(len(NASTY) if len(NASTY) < 24 else 24)
    moved = [replace(t, compound_id=name) for t, name in zip(protocol.transfers, NASTY, strict=False)]
    nasty = replace(protocol, loads=(replace(protocol.loads[0], steps=tuple(moved)),))
    for text in (write_echo(nasty, 0).text, write_columns(nasty, 0).text):
        assert not any(cell[:1] in ("=", "+", "-", "@") for line in text.splitlines() for cell in line.split(","))


def test_gwl_is_as_measured() -> None:
    protocol = small_protocol(2)
    lines = write_gwl(protocol, 0).text.split("\r\n")
    assert lines[3:7] == [
        "C;transfer 1 C000", "A;SRC-001;;;1;;5.00;;;;", "D;P1;;;1;;5.00;;;;", "W1;",
    ]  # fmt: skip
    assert lines[8:10] == ["A;SRC-001;;;17;;5.00;;;;", "D;P1;;;9;;5.00;;;;"]


def test_a_kept_tip_is_not_washed() -> None:
    protocol = small_protocol(2)
    first, second = protocol.transfers
    kept = replace(second, tip_well=first.tip_well)
    kept_on = replace(protocol, loads=(replace(protocol.loads[0], steps=(first, kept)),))
    assert write_gwl(kept_on, 0).text.count("W1;") == 1


@pytest.mark.parametrize(("volume_nl", "droplet_pl"), [(5, 2_500), (25, 25_000), (5_000, 25_000)])
def test_whole_droplets_are_written(volume_nl: int, droplet_pl: int) -> None:
    text = write_echo(small_protocol(1, volume_nl), 0, EchoPlates(droplet_pl)).text
    assert text.splitlines()[1].endswith(f",A1,{volume_nl}")


@pytest.mark.parametrize(("volume_nl", "droplet_pl"), [(3, 2_500), (30, 25_000)])
def test_a_part_of_a_droplet_is_refused_with_the_well(volume_nl: int, droplet_pl: int) -> None:
    with pytest.raises(PlanError, match=r"transfer 1 into A01 of P1: .*whole number of droplets"):
        write_echo(small_protocol(1, volume_nl), 0, EchoPlates(droplet_pl))


@pytest.mark.parametrize("before_nl", [4_000, 112_001])
def test_a_source_outside_its_window_is_refused(before_nl: int) -> None:
    with pytest.raises(PlanError, match="A01 of SRC-001 holds"):
        write_echo(small_protocol(1, 100), 0, holds_nl={("SRC-001", "A01"): before_nl})


def test_gwl_refuses_what_two_decimals_would_round() -> None:
    with pytest.raises(PlanError, match=r"transfer 1 into A01 of P1: 1255 nl"):
        write_gwl(small_protocol(1, 1_255), 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"unit": "ml"}, "unit"),
        ({"well": "a1"}, "well"),
        ({"separator": "."}, "separator"),
        ({"decimal": ",", "separator": ","}, "decimal mark"),
        ({"colour": 1}, "colour"),
        ({"columns": {"V": "volume"}}, "no column holds source_plate"),
        ({"constants": {"x": "=cmd"}}, "formula"),
        ({"constants": {"x": "a\nb"}}, "ASCII"),
        ({"n_decimals": 9}, "n_decimals"),
        ({"columns": []}, "not a table"),
    ],
)
def test_a_wrong_mapping_is_refused(change: dict[str, object], says: str) -> None:
    columns = {
        name: name for name in ("source_plate", "source_well", "destination_plate", "destination_well", "volume")
    }
    assert read_mapping({"columns": columns})
    with pytest.raises(DataError, match=says):
        read_mapping({"columns": columns, **change})


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_cut_list_is_refused(cut: int) -> None:
    text = write_gwl(small_protocol(3), 0).text
    with pytest.raises(DataError):
        read_gwl(text[:-cut])


def test_a_script_of_any_names_runs_in_pylabrobot(tmp_path: Path) -> None:
    pytest.importorskip("pylabrobot")
    protocol = small_protocol(12)
    moved = [replace(t, compound_id=name) for t, name in zip(protocol.transfers, NASTY, strict=False)]
    path = tmp_path / "load.py"
    path.write_text(write_plr(replace(protocol, loads=(replace(protocol.loads[0], steps=tuple(moved)),)), 0).text)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_side_table_holds_no_formula() -> None:
    table = Names.of(NASTY).to_csv()
    assert not any(cell[:1] in ("=", "+", "-", "@") for line in table.splitlines() for cell in line.split(","))


def test_a_trough_is_no_source_for_sound_unless_somebody_gives_its_window():
    protocol = small_protocol(2)
    deck = tuple(
        replace(item, labware="nest_12_reservoir_15ml") if item.role is DeckRole.SOURCE else item
        for item in protocol.loads[0].deck
    )
    protocol = replace(protocol, loads=(replace(protocol.loads[0], deck=deck),))
    with pytest.raises(PlanError, match="source SRC-001 is a nest_12_reservoir_15ml, which is no source for sound"):
        write_echo(protocol, 0)
    assert write_echo(protocol, 0, EchoPlates(windows_nl={"nest_12_reservoir_15ml": (0, 10**7)})).text
