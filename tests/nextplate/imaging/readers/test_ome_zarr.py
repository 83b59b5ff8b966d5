"""OME-Zarr plates of 0.4 and 0.5: listed from metadata, planes read chunk by chunk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest

from nextplate.errors import DataError
from nextplate.imaging import open_readout, read_image
from nextplate.imaging.pixels import UnreadableImage, kind_of
from nextplate.imaging.zarr_array import open_array, read_plane

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "gzip": lambda data: bytes(imagecodecs.gzip_encode(data)),
    "zlib": lambda data: bytes(imagecodecs.zlib_encode(data)),
    "zstd": lambda data: bytes(imagecodecs.zstd_encode(data)),
    "blosc": lambda data: bytes(imagecodecs.blosc_encode(data)),
}
STACK = np.arange(2 * 3 * 5 * 7, dtype=np.uint16).reshape(2, 3, 5, 7) + 1


def write_array(path: Path, data: npt.NDArray[Any], version: int, codec: str, order: str = "<") -> None:
    """Write chunks of (1, 2 .., 4, 4), so that they hang over the edges."""
    chunks = (1, 2, 4, 4)
    path.mkdir(parents=True)
    if version == 3:
        codecs: list[dict[str, Any]] = [
            {"name": "bytes", "configuration": {"endian": "little" if order == "<" else "big"}}
        ]
        said: dict[str, Any] = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": data.shape,
            "data_type": data.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default"},
            "fill_value": 9,
            "codecs": codecs + ([{"name": codec}] if codec else []),
        }
        (path / "zarr.json").write_text(json.dumps(said), encoding="utf-8")
    else:
        said = {
            "zarr_format": 2,
            "shape": data.shape,
            "chunks": chunks,
            "dtype": f"{order}u2",
            "compressor": {"id": codec} if codec else None,
            "fill_value": 9,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
        (path / ".zarray").write_text(json.dumps(said), encoding="utf-8")
    counts = [-(-n // c) for n, c in zip(data.shape, chunks, strict=True)]
    padded = np.zeros([n * c for n, c in zip(counts, chunks, strict=True)], f"{order}u2")
    padded[tuple(slice(0, n) for n in data.shape)] = data
    for index in np.ndindex(*counts):
        block = padded[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
        file = path.joinpath(*(["c"] if version == 3 else []), *map(str, index))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(PACK[codec](block.tobytes()))


def group(path: Path, said: dict[str, Any], version: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if version == 3:
        whole = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5"} | said}}
        (path / "zarr.json").write_text(json.dumps(whole), encoding="utf-8")
    else:
        (path / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
        (path / ".zattrs").write_text(json.dumps(said), encoding="utf-8")


def plate(folder: Path, version: int = 3, codec: str = "zstd", wells: tuple[str, ...] = ("AF/48",)) -> Path:
    rows = [{"path": w, "rowIndex": 31, "columnIndex": 47 - n} for n, w in enumerate(wells)]
    group(folder, {"plate": {"name": "P5", "wells": rows}}, version)
    group(folder / "AF" / "48", {"well": {"images": [{"path": "0"}]}}, version)
    axes = [{"name": "c"}, {"name": "z"}, *({"name": n, "unit": "micrometer"} for n in "yx")]
    scale = {"type": "scale", "scale": [1, 2, 0.5, 0.5]}
    said = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}],
        "omero": {"channels": [{"label": "DNA"}, {"label": "GFP"}]},
    }
    group(folder / "AF" / "48" / "0", said, version)
    write_array(folder / "AF" / "48" / "0" / "0", STACK, version, codec)
    return folder


@pytest.mark.parametrize(("version", "codec"), [(v, c) for v in (2, 3) for c in PACK if (v, c) != (3, "zlib")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_plane_comes_back_as_written(tmp_path: Path, version: int, codec: str, order: str) -> None:
    write_array(tmp_path / "a", STACK, version, codec, order)
    array = open_array(tmp_path / "a")
    planes = [read_plane(array, page) for page in range(array.n_pages)]
    assert np.array_equal(np.stack(planes), STACK.reshape(6, 5, 7))
    assert planes[0].dtype == np.uint16


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_is_listed_and_read(tmp_path: Path, version: int) -> None:
    plate(tmp_path / "x.zarr", version)
    for folder in (tmp_path, tmp_path / "x.zarr"):
        readout = open_readout(folder, z=3)
        assert (readout.reader, readout.plate, readout.channels) == ("ome-zarr", "P5", ("DNA", "GFP"))
        assert [(i.well, i.field, i.z, i.page, i.pixel_size_um) for i in readout.images] == [
            ("AF48", 1, 3, 2, 0.5),
            ("AF48", 1, 3, 5, 0.5),
        ]
        assert np.array_equal(read_image(readout.images[1]), STACK[1, 2])
    assert str(kind_of(readout.images[0].path)) == "7 x 5 uint16"
    highest = open_readout(tmp_path, z="max").images[0]
    assert np.array_equal(read_image(highest), STACK[0].max(axis=0))


def test_a_chunk_that_is_not_there_holds_the_fill_value(tmp_path: Path) -> None:
    write_array(tmp_path / "a", STACK, 3, "")
    (tmp_path / "a" / "c" / "0" / "0" / "0" / "0").unlink()
    read = read_plane(open_array(tmp_path / "a"), 0)
    assert (read[:4, :4] == 9).all()
    assert np.array_equal(read[:, 4:], STACK[0, 0, :, 4:])


@pytest.mark.parametrize("codec", ["", "zstd"])
def test_a_damaged_chunk_makes_the_image_unreadable(tmp_path: Path, codec: str) -> None:
    image = open_readout(plate(tmp_path, codec=codec), z=1).images[0]
    chunk = image.path / "c" / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(UnreadableImage, match="the chunk") as caught:
        read_image(image)
    assert str(caught.value).startswith("0/c/0/0/0/0: ")


@pytest.mark.parametrize("name", ["../P6/A/1", "/etc", "B/7", "C:/x"])
def test_a_well_that_is_not_in_the_folder_is_missing(tmp_path: Path, name: str) -> None:
    readout = open_readout(plate(tmp_path, wells=("AF/48", name)), z=1)
    assert {i.well for i in readout.images} == {"AF48"}
    assert [m.well for m in readout.missing] == ["AF47"]
    assert "in the plate's metadata and not in its folder" in readout.missing[0].reason


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"name": "zstd"', '"name": "sharding_indexed"', "the codec sharding_indexed is not read"),
        ('"data_type": "uint16"', '"data_type": "complex64"', "the data type complex64 is not read"),
        ('"name": "regular"', '"name": "rectangular"', "a regular one is needed"),
        ('"shape": [2', '"shape": [0', "at least y and x are needed"),
        ('"chunk_key_encoding"', '"chunk_keys"', "are not as Zarr needs them"),
        ("{", "[", "not readable JSON"),
    ],
)
def test_an_array_that_is_not_read_says_why(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = plate(tmp_path) / "AF" / "48" / "0" / "0" / "zarr.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=words):
        open_readout(tmp_path)


def test_metadata_without_what_the_specification_asks_are_one_clear_error(tmp_path: Path) -> None:
    group(plate(tmp_path) / "AF" / "48" / "0", {"multiscales": []}, 3)
    with pytest.raises(DataError, match="not as OME-Zarr needs them"):
        open_readout(tmp_path)
