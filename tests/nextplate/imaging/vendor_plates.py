"""Small plates as each vendor's software would write them, and where the real samples lie."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

BTS = "http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"


def sample(*parts: str) -> Path:
    """Return a folder of real images, or skip with the reason."""
    path = Path(os.environ.get("NEXTPLATE_DATA", "../shared")).joinpath("images", *parts)
    if not path.exists():
        pytest.skip(f"the real sample {'/'.join(parts)} is not here ({path}); set NEXTPLATE_DATA")
    return path


def touch(folder: Path, names: Iterable[str]) -> Path:
    """Write files of one byte, as readers never open images to list them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def write_tiff(path: Path, value: int = 1, shape: tuple[int, int] = (4, 5)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full(shape, value, np.uint16))
    return path


HARMONY_V5 = "http://www.perkinelmer.com/PEHH/HarmonyV5"
HARMONY_V7 = "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7"


def harmony_image(row: int, col: int, field: int, channel: int, **more: str) -> dict[str, str]:
    """Return the elements of one Image; keywords replace or add."""
    url = f"r{row:02d}c{col:02d}f{field:02d}p01-ch{channel}sk1fk1fl1.tiff"
    values = {
        "id": f"{row:02d}{col:02d}K1F{field}P1R{channel}",
        "State": "Ok",
        "URL": url,
        "Row": str(row),
        "Col": str(col),
        "FieldID": str(field),
        "PlaneID": "1",
        "TimepointID": "1",
        "ChannelID": str(channel),
        "PositionX": "1E-05",
        "PositionY": "-2E-05",
        "PositionZ": "-4E-06",
    }
    return values | more


def harmony_index(
    images: Iterable[Mapping[str, str]],
    channels: Mapping[int, str],
    *,
    namespace: str = HARMONY_V7,
    wells: Iterable[tuple[int, int]] = (),
    encoding: str = "utf-8",
) -> bytes:
    """Return an index in the manner of V7: what a channel's images share stands in the third map."""
    rows = [f'<?xml version="1.0" encoding="{encoding}"?>', f'<EvaluationInputData xmlns="{namespace}">']
    rows += ["<Plates><Plate><PlateID>P7</PlateID><Name>P7</Name></Plate></Plates><Wells>"]
    rows += [f"<Well><id>{r:02d}{c:02d}</id><Row>{r}</Row><Col>{c}</Col></Well>" for r, c in wells]
    rows += ["</Wells><Maps>"]
    for tag in ("FlatfieldProfile", "SkewcropParameters"):
        rows += ["<Map>", *(f'<Entry ChannelID="{n}"><{tag}>{{}}</{tag}></Entry>' for n in channels), "</Map>"]
    rows += ["<Map>"]
    for n, name in channels.items():
        rows.append(
            f'<Entry ChannelID="{n}"><ChannelName>{name}</ChannelName>'
            '<ImageResolutionX Unit="m">2.5E-07</ImageResolutionX></Entry>'
        )
    rows += ["</Map></Maps><Images>"]
    for values in images:
        rows.append("<Image>" + "".join(f"<{k}>{v}</{k}>" for k, v in values.items()) + "</Image>")
    rows += ["</Images></EvaluationInputData>"]
    return "\n".join(rows).encode("utf-8-sig" if encoding == "utf-8" else encoding)


def write_harmony(folder: Path, images: list[dict[str, str]], channels: Mapping[int, str], **how: object) -> Path:
    """Write Images/Index.xml and an empty-handed file for every URL that stays in the folder."""
    place = folder / "Images"
    place.mkdir(parents=True, exist_ok=True)
    wells = sorted({(int(i["Row"]), int(i["Col"])) for i in images if i["Row"].isdecimal()})
    touch(place, [i["URL"] for i in images if not i["URL"].startswith(("..", "/")) and ":" not in i["URL"]])
    (place / "Index.xml").write_bytes(harmony_index(images, channels, wells=wells, **how))  # type: ignore[arg-type]
    return folder


def yokogawa_record(well: tuple[int, int], field: int, ch: int, z: int = 1, **more: str) -> str:
    """Return one IMG record; keywords replace attributes, `text` the file name."""
    row, column = well
    values = {
        "Type": "IMG",
        "Column": str(column),
        "Row": str(row),
        "TimePoint": "1",
        "FieldIndex": str(field),
        "ZIndex": str(z),
        "Action": "3D",
        "X": "-10.5",
        "Y": "20",
        "Z": "3.0",
        "Ch": str(ch),
    }
    text = more.pop("text", yokogawa_name(well, field, ch, z))
    said = " ".join(f'bts:{k}="{v}"' for k, v in (values | more).items() if v != "-")
    return f"<bts:MeasurementRecord {said}>{text}</bts:MeasurementRecord>"


def yokogawa_name(well: tuple[int, int], field: int, ch: int, z: int = 1) -> str:
    return f"P8_{chr(64 + well[0])}{well[1]:02d}_T0001F{field:03d}L01A01Z{z:02d}C{ch:02d}.tif"


def write_yokogawa(
    folder: Path, records: Iterable[str], *, end: str = "</bts:MeasurementData>", ended: bool = True
) -> Path:
    """Write mlf, mrf and mes; the mrf knows two channels more than were imaged."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<bts:MeasurementData xmlns:bts="{BTS}">\n'
    (folder / "MeasurementData.mlf").write_text(head + "\n".join(records) + end, encoding="utf-8")
    channels = "".join(
        f'<bts:MeasurementChannel bts:Ch="{n}" bts:HorizontalPixelDimension="0.65"/>' for n in (1, 2, 3, 4)
    )
    time = 'bts:EndTime="2026-01-01T00:00:00"' if ended else ""
    (folder / "MeasurementDetail.mrf").write_text(
        f'<bts:MeasurementDetail xmlns:bts="{BTS}" bts:Title="P8" {time} bts:MeasurementSettingFileName="P8.mes">'
        f"{channels}</bts:MeasurementDetail>",
        encoding="utf-8-sig",
    )
    (folder / "P8.mes").write_text(
        f'<bts:MeasurementSetting xmlns:bts="{BTS}"><bts:ChannelList>'
        '<bts:Channel bts:Ch="1" bts:Target="405" bts:Fluorophore="DAPI"/>'
        '<bts:Channel bts:Ch="2" bts:Target="488" bts:Fluorophore=""/></bts:ChannelList></bts:MeasurementSetting>',
        encoding="utf-8-sig",
    )
    return folder


def ome_xml(images: str, plate: str = "", extra: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{extra}{plate}{images}</OME>'
    ).encode()
