"""Mapping files of the SiLA 2 bridge, and records that a killed process left."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ports import Move, MovePlates, ShakePlate
from drivers.sila_mapping import TAKES, read_mapping
from drivers.sila_record import Record, read_record
from nextplate.errors import NeedsOperator, SettingsError

SHAKE = """
[ShakePlate]
feature = "Shaking"
command = "Shake"
parameters = { Rpm = "{speed_rpm}", Label = "plate {barcode}", Hard = true }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "map.toml"
    path.write_text(text)
    return path


def test_a_whole_field_keeps_its_type_and_a_text_is_filled(tmp_path: Path) -> None:
    (call,) = read_mapping(written(tmp_path, SHAKE), "shaker").calls(ShakePlate("P{1}", 900, 3))
    assert call.parameters == {"Rpm": 900, "Label": "plate P{1}", "Hard": True}


def test_places_are_the_servers_words_or_all_the_labs_own(tmp_path: Path) -> None:
    text = '[MovePlates]\nfeature = "A"\ncommand = "B"\nparameters = { To = "{target}" }\n'
    moves = MovePlates((Move("P1", "stack/new", "deck/A1"),))
    (plain,) = read_mapping(written(tmp_path, text), "plate-mover").calls(moves)
    assert plain.parameters == {"To": "deck/A1"}
    named = text + '[places]\n"stack/new" = 1\n"deck/A1" = 2\n'
    (call,) = read_mapping(written(tmp_path, named), "plate-mover").calls(moves)
    assert call.parameters == {"To": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ShakePlate.* is missing"),
        ("[ShakePlate", "cannot be read"),
        (SHAKE.replace("speed_rpm", "speed"), "no field {speed} .it has barcode, duration_s, speed_rpm"),
        (SHAKE.replace('"Shake"', "3"), "ShakePlate.command"),
        (SHAKE.replace('"Shake"', '"os; rm"'), "ShakePlate.command"),
        (SHAKE + "colour = 1\n", "colour"),
        (SHAKE + 'result = { slot = "X" }\n', "result.slot is not told"),
        (SHAKE + '[StorePlate]\nfeature = "A"\ncommand = "B"\n', "StorePlate. is no command of this device"),
        (SHAKE + '[state]\nx = "Temperature"\n', "Feature.Property"),
    ],
)
def test_a_wrong_mapping_names_file_and_fix(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as error:
        read_mapping(written(tmp_path, text), "shaker")
    assert "map.toml" in str(error.value)


def test_what_only_the_server_can_tell_must_be_mapped(tmp_path: Path) -> None:
    text = '[ReadBarcode]\nfeature = "A"\ncommand = "B"\n'
    with pytest.raises(SettingsError, match=r"result\.barcode is missing"):
        read_mapping(written(tmp_path, text), "barcode-reader")


@given(st.binary(max_size=200), st.sampled_from(sorted(TAKES)))
def test_any_bytes_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        read_mapping(path, kind)


@given(st.binary(max_size=100) | st.sampled_from([b'{"steps": 1}', b'{"steps": [1]}', b'{"steps": {"a": 1}}']))
def test_any_record_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "record.json"
    path.write_bytes(content)
    with pytest.raises(NeedsOperator):
        read_record(path)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(tmp_path / "executions" / "r.json")
    record.begin_step()
    record.change(0, execution="7b8b1d94-8c4a-4d5c-9c26-0a6a3a3e7d11")
    record.change(0, responses={"Site": 17})
    record.begin_step()
    assert read_record(record.path) == record
    assert read_record(tmp_path / "none.json").steps == ()
