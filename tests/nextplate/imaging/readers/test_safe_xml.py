"""Vendor XML is read without trusting it."""

import time
from pathlib import Path

import pytest

from nextplate.errors import DataError
from nextplate.imaging.readers.safe_xml import CutShort, child_texts, parse_xml, read_xml, stream_xml

LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><l>&c;</l>'
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LAUGHS, "document type"),
        (b"<!-- " + b"x" * 200_000 + b" --><!DOCTYPE a><a/>", "document type"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"), "document type"),
        (b'<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><a/>', "document type"),
        (b"<a>&b;</a>", "not readable XML"),
        (b'<?xml version="1.0" encoding="utf-8"?><a>\xb5m</a>', "encoding"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "not readable XML"),
        (b"<a></b>", "not readable XML"),
        (b"a picture", "not readable XML"),
    ],
)
def test_what_is_no_plain_xml_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "index.xml"
    path.write_bytes(data)
    for read in (lambda: read_xml(path), lambda: stream_xml(path, {})):
        with pytest.raises(DataError, match=words) as caught:
            read()
        assert str(path) in str(caught.value)
        assert not isinstance(caught.value, CutShort)


@pytest.mark.parametrize("data", [b"", b"<a>", b"<a><b", b"<a><b>text", b'<?xml version="1.0"?><a><b/>'])
def test_what_ends_too_early_is_told_apart(data: bytes) -> None:
    with pytest.raises(CutShort, match="here: the XML is cut short"):
        parse_xml(data, "here")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_declared_encodings_and_byte_order_marks_are_read(encoding: str) -> None:
    said = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{said}"?><x:a xmlns:x="n"><x:b> 5 µm </x:b></x:a>'
    assert child_texts(parse_xml(text.encode(encoding), "here")) == {"b": "5 µm"}


def test_a_large_index_streams_fast(tmp_path: Path) -> None:
    path = tmp_path / "index.xml"
    path.write_bytes(b"<a>" + b"<i><u>name</u><r>1</r></i>" * 100_000 + b"</a>")
    seen: list[dict[str, str]] = []
    start = time.perf_counter()
    stream_xml(path, {"i": lambda e: seen.append(child_texts(e))})
    assert len(seen) == 100_000
    assert time.perf_counter() - start < 20
