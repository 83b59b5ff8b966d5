"""Read a vendor's XML without trusting it: no document type, so no entities; local names; cut-short files told apart.

A document type can only stand before the root element (XML 1.0, production [22]), so a first pass with expat
stops there; the standard library's fast parser then never meets an entity declaration.
"""

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from nextplate.errors import DataError

Element = ET.Element
_CHUNK = 65536
_CUT = frozenset(
    {
        expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
        expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
        expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    }
)


class CutShort(DataError):
    """The XML ends before its root element does: still being written or copied."""


def local(name: str) -> str:
    """Return a tag or attribute name without its namespace."""
    return name.rpartition("}")[2]


def attributes(element: Element) -> dict[str, str]:
    """Return the attributes by local name."""
    return {local(key): value for key, value in element.attrib.items()}


def child_texts(element: Element) -> dict[str, str]:
    """Return the text of every child by local name, stripped; the last one wins."""
    return {local(child.tag): (child.text or "").strip() for child in element}


def children(element: Element, name: str) -> list[Element]:
    """Return the children of this local name."""
    return [child for child in element if local(child.tag) == name]


def walk(element: Element, name: str) -> Iterator[Element]:
    """Yield the element and all below it of this local name, in document order."""
    return (e for e in element.iter() if local(e.tag) == name)


def read_xml(path: Path) -> Element:
    """Parse a whole file.

    Raises:
        DataError: a document type or entity, not XML, a wrong encoding; CutShort when the end is missing.
    """
    return parse_xml(path.read_bytes(), str(path))


def parse_xml(data: bytes, where: str) -> Element:
    """Parse bytes; `where` is named in errors.

    Raises:
        DataError: as `read_xml`.
    """
    _refuse_document_type(io.BytesIO(data), where)
    try:
        return ET.fromstring(data)  # noqa: S314 - document types have been refused above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise _problem(error, where) from error


def stream_xml(path: Path, take: Mapping[str, Callable[[Element], None]]) -> None:
    """Hand every element of the given local names to its function and forget it, so memory stays flat.

    Raises:
        DataError: as `read_xml`; elements before the fault have been handed over.
    """
    with path.open("rb") as file:
        _refuse_document_type(file, str(path))
        file.seek(0)
        try:
            for _, element in ET.iterparse(file):  # noqa: S314 - document types have been refused above
                handler = take.get(local(element.tag))
                if handler is not None:
                    handler(element)
                    element.clear()
        except (ET.ParseError, ValueError, LookupError) as error:
            raise _problem(error, str(path)) from error


def _refuse_document_type(file: BinaryIO, where: str) -> None:
    parser = expat.ParserCreate()
    is_past_prolog: list[bool] = []

    def refuse(*_: object) -> None:
        raise DataError(f"{where}: holds a document type or entity declaration, which no microscope writes; not read")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda *_: is_past_prolog.append(True)
    try:
        while not is_past_prolog and (chunk := file.read(_CHUNK)):
            parser.Parse(chunk, False)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _problem(error, where) from error


def _problem(error: Exception, where: str) -> DataError:
    code = getattr(error, "code", None)
    if code in _CUT:
        return CutShort(f"{where}: the XML is cut short ({error})")
    return DataError(f"{where}: not readable XML ({error}); is the encoding what its first line says?")
