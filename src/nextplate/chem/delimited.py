"""Read a delimited text file as people really send them.

Byte-order marks, Windows line ends, quotes, gzip, comma, semicolon or tab are taken as they come. What cannot be
told for sure (an encoding, an unclosed quote) is an error that names the line, never a guess.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast

from nextplate.errors import DataError

DELIMITERS = (",", ";", "\t")
_SPACE_SUFFIXES = (".smi", ".ism")
_LONGEST_CELL = 1 << 20
_HEAD_LINES = 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a delimited file."""

    line: int
    """1-based number of the line on which the record ends."""
    cells: tuple[str, ...]
    """Stripped of surrounding blanks."""


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited text file, split into records; blank lines are left out."""

    path: Path
    delimiter: str
    records: tuple[Record, ...]
    """The header, if there is one, is the first."""


def read_delimited(path: Path, *, encoding: str = "utf-8") -> Delimited:
    """Split a text file into records.

    Args:
        path: a CSV, TSV or .smi file, plain or gzipped.
        encoding: used when the file carries no byte-order mark.

    Raises:
        DataError: the file is missing, empty, not text, not in this encoding, or has an unclosed quote.
    """
    text = _decode(path, _read_bytes(path), encoding)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; send a header line and one line per compound")
    delimiter = _sniff(path, text)
    return Delimited(path, delimiter, tuple(_records(path, text, delimiter)))


def read_header(path: Path, *, encoding: str = "utf-8") -> tuple[str, ...]:
    """Return the cells of a text file's first line.

    Raises:
        DataError: as ``read_delimited``.
    """
    with stream_delimited(path, encoding=encoding) as (head, _):
        return head.records[0].cells


@contextmanager
def stream_delimited(path: Path, *, encoding: str = "utf-8") -> Iterator[tuple[Delimited, Iterator[Record]]]:
    """Open a text file of any length; what is in memory is a line.

    Args:
        path: a CSV, TSV or .smi file, plain or gzipped.
        encoding: used when the file carries no byte-order mark.

    Yields:
        The file's first records (at most 20), to find the columns by, and an iterator over all of them.

    Raises:
        DataError: as ``read_delimited``, now or while iterating.
    """
    try:
        with path.open("rb") as file, _unzipped(file) as data, _text(path, data, encoding) as text:
            lines = _checked(path, text)
            head = list(islice(lines, _HEAD_LINES))
            if not "".join(head).strip():
                raise DataError(f"{path}: the file is empty; send a header line and one line per compound")
            delimiter = _sniff(path, "".join(head))
            with closing(_csv_records(path, chain(head, lines), delimiter)) as records:
                first = tuple(islice(records, _HEAD_LINES))
                yield Delimited(path, delimiter, first), chain(first, records)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip file is damaged ({error}); send it again") from error


@contextmanager
def _unzipped(file: IO[bytes]) -> Iterator[IO[bytes]]:
    is_zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if is_zipped:
        with gzip.open(file) as data:
            yield cast("IO[bytes]", data)
    else:
        yield file


def _text(path: Path, data: IO[bytes], encoding: str) -> io.TextIOWrapper:
    start = data.read(4)
    data.seek(0)
    _refuse_binary(path, start)
    return io.TextIOWrapper(data, encoding="utf-16" if start[:2] in _UTF16 else encoding, newline="")


def _checked(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    n = 0
    try:
        for n, line in enumerate(text, start=1):
            if "\0" in line:
                raise DataError(f"{path}: line {n}: holds NUL bytes, so it is not a text file; save it as CSV UTF-8")
            yield line.removeprefix("\ufeff") if n == 1 else line
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: after line {n}: byte 0x{error.object[error.start]:02x} is not {error.encoding} text; save "
            "the file as CSV UTF-8, or name its encoding (--encoding latin-1)"
        ) from error


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip file is damaged ({error}); send it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _decode(path: Path, data: bytes, encoding: str) -> str:
    _refuse_binary(path, data)
    is_utf16 = data[:2] in _UTF16
    try:
        text = data.decode("utf-16" if is_utf16 else encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise DataError(f"{path}: there is no encoding {encoding!r}; name one such as utf-8 or latin-1") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line}: byte 0x{data[error.start]:02x} is not {error.encoding} text; save the file "
            "as CSV UTF-8, or name its encoding (--encoding latin-1)"
        ) from error
    if "\0" in text:
        raise DataError(f"{path}: holds NUL bytes, so it is not a text file; save it as CSV UTF-8")
    return text


def _refuse_binary(path: Path, start: bytes) -> None:
    if start[:2] == b"PK" or start[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(f"{path}: this is an Excel workbook or a zip archive, not text; save it as CSV UTF-8")


def _sniff(path: Path, text: str) -> str:
    """Take the delimiter that cuts the first records into the most cells, evenly."""
    allowed = (*DELIMITERS, " ") if path.suffix.lower() in _SPACE_SUFFIXES else DELIMITERS
    head = text[: 1 << 16].splitlines()[:20]
    return max(allowed, key=lambda delimiter: _evenness(head, delimiter))


def _evenness(lines: list[str], delimiter: str) -> tuple[int, int]:
    widths = [len(cells) for cells in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if cells]
    first = widths[0] if widths else 0
    return (sum(w == first for w in widths) if first > 1 else 0, first)


def _records(path: Path, text: str, delimiter: str) -> Iterator[Record]:
    return _csv_records(path, io.StringIO(text, newline=""), delimiter)


def _csv_records(path: Path, lines: Iterable[str], delimiter: str) -> Generator[Record]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t")
    previous = csv.field_size_limit(_LONGEST_CELL)
    try:
        for cells in reader:
            stripped = tuple(cell.strip() for cell in cells)
            if any(stripped):
                yield Record(reader.line_num, stripped)
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num}: {error}; look for a quote that is opened and never closed"
        ) from error
    finally:
        csv.field_size_limit(previous)
