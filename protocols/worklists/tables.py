"""Delimited text: strict reading of what other software wrote, and plain writing."""

import csv
import io
from collections.abc import Iterable, Sequence

from nextplate.errors import DataError

MAX_BYTES = 50_000_000
"""Of a result file; ten thousand transfers are two megabytes."""
MAX_CELL = 10_000
SEPARATORS = (",", ";", "\t", "|")


def text_of(raw: bytes, encoding: str = "utf-8") -> str:
    """Decode a file; a UTF-8 byte order mark is fine.

    Raises:
        DataError: too large, empty, another encoding, or control characters that no such file has.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"{len(raw)} bytes are too many for a result file")
    if not raw.strip():
        raise DataError("the file is empty")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("the file is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"the file is not {encoding}: {error}") from error
    if wrong := next((c for c in text if c < " " and c not in "\t\r\n"), None):
        raise DataError(f"the file holds the control character {wrong!r}; it is no text in {encoding}")
    return text


def rows_of(text: str, separator: str = ",") -> list[list[str]]:
    """Split delimited text into rows of cells, quotes as in RFC 4180.

    Raises:
        DataError: a quote that does not close, or a cell of absurd length; names the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if any(len(cell) > MAX_CELL for cell in row):
                raise DataError(f"line {reader.line_num}: a cell of more than {MAX_CELL} signs")
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"line {reader.line_num}: {error}") from error
    return rows


def written(rows: Iterable[Sequence[str]], separator: str = ",", line_end: str = "\r\n") -> str:
    """Write rows; cells are quoted only where they have to be."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator=line_end).writerows(rows)
    return out.getvalue()
