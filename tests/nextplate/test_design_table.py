"""A layout survives its CSV, and a bad CSV is refused by line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.design import layout_from_csv, layout_to_csv, parse_layout
from nextplate.errors import DataError
from nextplate.plate import PLATE_96, Layout, LayoutWell, Role

WELLS = tuple(PLATE_96.wells())


def plate(name: str = "C1", barcode: str = "P-1") -> Layout:
    wells = [LayoutWell(well, Role.EMPTY, None, 0, 0.0, "empty") for well in WELLS]
    wells[0] = LayoutWell("A01", Role.SAMPLE, name, 0, 0.1 + 0.2, "exploit")
    wells[1] = LayoutWell("A02", Role.NEGATIVE, None, 1, 0.0, "control")
    return Layout(barcode, PLATE_96, tuple(wells))


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(blacklist_categories=("Cs",)), min_size=1),
    st.text(st.characters(blacklist_categories=("Cs",))),
)
def test_any_name_survives(name: str, barcode: str) -> None:
    assert parse_layout(layout_to_csv(plate(name, barcode))) == plate(name, barcode)


def test_file_with_bom_windows_ends_and_shuffled_unpadded_wells(tmp_path: Path) -> None:
    header, *lines = layout_to_csv(plate()).splitlines()
    text = "\r\n".join([header, *reversed(lines)]).replace(",A01,", ",a1,")
    path = tmp_path / "layout.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert layout_from_csv(path) == plate()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dose_um,", "", ["line 1", "dose_um missing"]),
        ("P-1,A02,negative", "P-1,A02,negativ", ["line 3", "'negativ'", "sample, negative, positive, empty"]),
        ("P-1,A02,negative,,1", "P-1,A02,negative,,one", ["line 3", "replicate 'one'"]),
        ("P-1,A02,negative,,1", "P-1,A02,negative,C9,1", ["line 3", "only samples"]),
        ("P-1,A03", "P-1,A02", ["line 4", "A02 was on line 3"]),
        ("P-1,A03", "P-1,A13", ["line 4", "A13", "outside"]),
        ("P-1,A03", "P-2,A03", ["line 4", "'P-2'", "'P-1'"]),
        ("0.30000000000000004", "nan", ["line 2", "dose_um 'nan'"]),
        ("0.30000000000000004", "-1", ["line 2", "dose_um '-1'"]),
        ("P-1,H12,empty,,0,0.0,empty\n", "", ["95 wells", "96, 384, 1536"]),
        ("P-1,H12,empty,,0,0.0,empty\n", "P-1,H12\n", ["line 97", "7 values"]),
        ("P-1,A03,empty,,0,0.0,empty", "P-1,A03,empty,,0,0.0,empty,more", ["line 4", "7 values"]),
    ],
)  # fmt: skip
def test_bad_line_is_named(old: str, new: str, words: list[str]) -> None:
    text = layout_to_csv(plate()).replace(old, new, 1)
    with pytest.raises(DataError) as error:
        parse_layout(text, "my.csv")
    assert all(word in str(error.value) for word in ["my.csv", *words])


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"barcode,well\n\xe4")
    with pytest.raises(DataError, match="not UTF-8"):
        layout_from_csv(tmp_path / "latin.csv")
    with pytest.raises(DataError, match="No such file"):
        layout_from_csv(tmp_path / "none.csv")
