"""A person's layout file: read as it was saved, or refused with the line, the well and the fix."""

from pathlib import Path

import pytest

from nextplate.assay import from_plan, read_measured_layout
from nextplate.design import layout_to_csv
from nextplate.errors import DataError
from nextplate.plate import FORMATS, PLATE_96, PLATE_384, PLATE_1536, Role, fitting_format
from tests.nextplate.assay.assay_plates import layout

HEADER = "well,role,compound,dose,dose_unit\n"
PLAIN = HEADER + "A1,negative,,0,\nA02,positive,,,\nA3,sample,drug,1.5,\u00b5M\nb4,Sample,drug,3,uM\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "layout.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


AS_SAVED = {
    "as typed": PLAIN,
    "byte-order mark": "\ufeff" + PLAIN,
    "windows code page": PLAIN.encode("cp1252"),
    "utf-16 of Excel": PLAIN.encode("utf-16"),
    "greek mu": PLAIN.replace("\u00b5", "\u03bc"),
    "windows line ends": PLAIN.replace("\n", "\r\n"),
    "old line ends": PLAIN.replace("\n", "\r"),
    "semicolons, decimal commas": PLAIN.replace(".", "#").replace(",", ";").replace("#", ","),
    "sep= on top": "sep=;\n" + PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "columns of its own": PLAIN.replace("compound", "Compound_ID").replace("dose,", "DOSE,"),
    "blank lines": PLAIN.replace("\n", "\n\n"),
}


@pytest.mark.parametrize("content", AS_SAVED.values(), ids=AS_SAVED.keys())
def test_a_file_is_read_as_it_was_saved(tmp_path: Path, content: str | bytes) -> None:
    found = read_measured_layout(written(tmp_path, content))
    assert found.plate_format is PLATE_96
    assert [(w.well, w.role, w.compound_id, w.dose, w.dose_unit) for w in found.wells] == [
        ("A01", Role.NEGATIVE, None, 0.0, ""),
        ("A02", Role.POSITIVE, None, None, ""),
        ("A03", Role.SAMPLE, "drug", 1.5, "uM"),
        ("B04", Role.SAMPLE, "drug", 3.0, "uM"),
    ]


def line(text: str) -> str:
    return PLAIN + text + "\n"


WRONG = {
    "empty": ("", ["empty", "well,role"]),
    "header only": ("well,role\n", ["no well"]),
    "no role column": ("well,compound\nA1,x\n", ["line 1", "column role missing", "well, compound"]),
    "two compound columns": ("well,role,compound,compound_id\nA1,sample,x,x\n", ["compound and compound_id", "one"]),
    "a column twice": ("well,role,note,Note\nA1,sample,x,x\n", ["line 1", "'note'"]),
    "unknown role": (line("C1,DMSO,,0,"), ["line 6", "C01", "'DMSO'", "negative, positive"]),
    "bad well": (line("11C,sample,x,1,uM"), ["line 6", "'11C'", "B07"]),
    "no plate is so large": (line("ZZ99,sample,x,1,uM"), ["line 6", "1536"]),
    "well twice": (line("A3,sample,x,1,uM"), ["line 6", "A03", "line 4"]),
    "dose a word": (line("C1,sample,x,high,uM"), ["line 6", "C01", "'high'"]),
    "dose negative": (line("C1,sample,x,-1,uM"), ["line 6", "'-1'"]),
    "dose infinite": (line("C1,sample,x,inf,uM"), ["line 6", "'inf'"]),
    "no dose": (line("C1,sample,x,,uM"), ["line 6", "C01", "no dose", "make the well empty"]),
    "no compound": (line("C1,sample,,1,uM"), ["line 6", "C01", "no compound"]),
    "no unit": (line("C1,sample,x,1,"), ["line 6", "dose 1 without a unit", "index"]),
    "unknown unit": (line("C1,sample,x,1,mg/ml"), ["line 6", "'mg/ml'", "nM"]),
    "steps and concentrations": (line("C1,sample,drug,1,index"), ["line 6", "drug", "C01", "A03", "line 4"]),
    "too many values": (line("C1,sample,x,1,uM,7"), ["line 6", "6 values", "5"]),
    "a workbook": (b"PK\x03\x04....", ["Excel workbook", "CSV"]),
}


@pytest.mark.parametrize(("content", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_with_file_line_well_and_fix(tmp_path: Path, content: str | bytes, words: list[str]):
    path = written(tmp_path, content)
    with pytest.raises(DataError) as told:
        read_measured_layout(path)
    assert all(word in str(told.value) for word in [str(path), *words]), str(told.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_measured_layout(tmp_path / "none.csv")


def test_units_of_one_compound_that_differ_become_micromolar(tmp_path: Path) -> None:
    text = HEADER + "A1,sample,a,250,nM\nA2,sample,a,1,uM\nA3,sample,b,250,nM\nA4,sample,b,0,uM\n"
    found = {w.well: w for w in read_measured_layout(written(tmp_path, text)).wells}
    assert [(found[w].dose, found[w].dose_unit) for w in ("A01", "A02")] == [(0.25, "uM"), (1.0, "uM")]
    assert [(found[w].dose, found[w].dose_unit) for w in ("A03", "A04")] == [(250.0, "nM"), (0.0, "nM")]
    assert found["A03"].dose_um == pytest.approx(0.25)


@pytest.mark.parametrize("dose", [0.7, 1.1, 2.3, 4.1, 1 / 3])
def test_one_dose_in_two_units_is_one_dose(tmp_path: Path, dose: float) -> None:
    text = HEADER + f"A1,sample,a,{dose:.6g},uM\nA2,sample,a,{float(f'{1000 * dose:.6g}'):g},nM\n"
    first, second = read_measured_layout(written(tmp_path, text)).wells
    assert first.dose == second.dose == first.dose_um == second.dose_um


def test_our_own_layout_files_are_read_too(tmp_path: Path) -> None:
    plan = layout()
    found = read_measured_layout(written(tmp_path, layout_to_csv(plan)))
    assert found.plate_format is PLATE_384
    assert found.plan("P1").plate_format == plan.plate_format
    again = {w.well: (w.role, w.compound_id, w.dose_um) for w in found.plan("P1").wells}
    assert again == {w.well: (w.role, w.compound_id, w.dose_um) for w in plan.wells}
    assert found.wells[0].further == {"replicate": "0", "reason": "test"}
    assert len(from_plan(plan).wells) == 384


def test_one_file_may_hold_several_plates(tmp_path: Path) -> None:
    path = written(tmp_path, "plate,well,role\nP1,A1,negative\nP2,A1,positive\n")
    assert read_measured_layout(path, "P2").wells[0].role is Role.POSITIVE
    with pytest.raises(DataError, match="P1, P2; say which"):
        read_measured_layout(path)
    with pytest.raises(DataError, match="no line of plate P3; it is of P1, P2"):
        read_measured_layout(path, "P3")


@pytest.mark.parametrize("shape", FORMATS.values(), ids=map(str, FORMATS))
def test_a_full_plate_is_known_by_its_wells(shape) -> None:
    assert fitting_format(shape.wells()) == shape


@pytest.mark.parametrize(
    ("wells", "n_wells"), [(["A01"], 96), (["A01", "H12"], 96), (["I01"], 384), (["A25"], 1536), (["AF48"], 1536)]
)
def test_a_few_wells_are_of_the_smallest_screening_plate(wells: list[str], n_wells: int) -> None:
    assert fitting_format(wells).n_wells == n_wells


def test_the_number_of_wells_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path, "well,role\nA1,negative\n")
    assert read_measured_layout(path, n_wells=6).plate_format is FORMATS[6]
    assert read_measured_layout(path, n_wells=1536).plate_format is PLATE_1536
    with pytest.raises(DataError, match="no plate of 97 wells; there are plates of 6, 12"):
        read_measured_layout(path, n_wells=97)
    with pytest.raises(DataError, match="line 2: well C01 lies outside a 6-well plate"):
        read_measured_layout(written(tmp_path, "well,role\nC01,negative\n"), n_wells=6)
