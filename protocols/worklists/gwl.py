"""Tecan GWL: the work list of EVO and Fluent.

Measured (shared/facts/robots.md section 5): one record a line, ``;`` between fields, CRLF; positions count down the
columns from 1; microlitres with two decimals; the dispense takes the tip of the aspirate before it; ``W`` records
wash or replace the tip. Labels are ASCII without ``;``, and byte 0xA0, on which advanced work list commands break,
never occurs. Not verified on a robot: the limits of label length.
"""

import re

from nextplate.errors import DataError, PlanError
from nextplate.plate import well_name
from protocols.labware import LABWARE
from protocols.model import Protocol, Transfer
from protocols.sentences import well_on
from protocols.worklists.names import Names, chunks, coded
from protocols.worklists.picks import Listed, Pick, Written, decimal_nl, listed, position, restored, whole_nl

LONGEST_COMMENT = 120
_WASH = re.compile(r"W[1-4]?;")
_ASCII_WORD = re.compile(r"[ -:<-~]*")
"""Printable ASCII without ``;``."""


def write_gwl(protocol: Protocol, load_index: int, *, liquid_class: str = "", wash: str = "W1") -> Written:
    """Write a load: for each transfer a comment, an aspirate and a dispense, and a ``W`` wherever the tip changes.

    Args:
        protocol: the load is of.
        load_index: of the load.
        liquid_class: as Tecan's software names it; empty: its default.
        wash: ``W`` or ``W1`` to ``W4``, the wash scheme or tip change between tips.

    Raises:
        PlanError: what GWL cannot say, with the well: other steps, finer volumes than 10 nl.
        DataError: a liquid class or wash record that would break the line.
    """
    if not _WASH.fullmatch(f"{wash};"):
        raise DataError(f"wash record {wash!r:.20}; write W, W1, W2, W3 or W4")
    if not _ASCII_WORD.fullmatch(liquid_class):
        raise DataError(f"liquid class {liquid_class!r:.60}; it takes printable ASCII without ';'")
    it = listed(protocol, load_index)
    lines = [f"C;nextplate {protocol.digest} load {load_index}"]
    lines += [f"C;plate {it.names.label(b)} {it.deck[b].labware}" for b in _plates(it)]
    for label, name in it.names.replaced():
        lines += [f"C;name {label}={part}" for part in chunks(coded(name), LONGEST_COMMENT)]
    transfers = it.load.transfers
    for n, t in enumerate(transfers):
        lines += _records(t, it, liquid_class)
        if n + 1 == len(transfers) or _tip(transfers[n + 1]) != _tip(t) or not t.tip_rack:
            lines.append(f"{wash};")
    return Written("".join(f"{line}\r\n" for line in lines), it.names)


def _plates(it: Listed) -> list[str]:
    return list(dict.fromkeys(b for t in it.load.transfers for b in (t.source_plate, t.destination_plate)))


def _tip(t: Transfer) -> tuple[str, str]:
    return t.tip_rack, t.tip_well


def _records(t: Transfer, it: Listed, words: str) -> list[str]:
    try:
        volume = decimal_nl(t.volume_nl, 2)
    except DataError as error:
        where = well_on(t.destination_plate, t.destination_well)
        raise PlanError(f"transfer {t.transfer_id} into {where}: {error}, the finest that GWL says") from error
    ends = (("A", t.source_plate, t.source_well), ("D", t.destination_plate, t.destination_well))
    return [
        f"C;transfer {t.transfer_id} {it.names.label(t.compound_id)}",
        *(
            f"{verb};{it.names.label(plate)};;;{position(well, it.kind(plate).wells_format)};;{volume};{words};;;"
            for verb, plate, well in ends
        ),
    ]


def read_gwl(text: str) -> tuple[Pick, ...]:
    """Read the work list that `write_gwl` wrote.

    Raises:
        DataError: a record that it does not write, an aspirate without its dispense, volumes that differ, a position
            that the plate does not have; names the line.
    """
    if not text.endswith("\r\n") or "\xa0" in text or not text.isascii():
        raise DataError("no GWL: ASCII lines that end with CR LF are expected; the file was cut or changed")
    reader = _Reader()
    for number, line in enumerate(text.removesuffix("\r\n").split("\r\n"), 1):
        try:
            reader.take(line)
        except (DataError, ValueError) as error:
            raise DataError(f"line {number}: {error}") from error
    return reader.ended()


class _Reader:
    """Goes through records, one after the other."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.coded: dict[str, str] = {}
        self.picks: list[Pick] = []
        self.compound = ""
        self.drawn: tuple[str, str, int] | None = None

    def take(self, line: str) -> None:
        """Take one line."""
        if line.startswith("C;"):
            self._comment(line[2:])
        elif line[:2] in ("A;", "D;"):
            self._moved(line.split(";"))
        elif not _WASH.fullmatch(line):
            raise DataError(f"{line!r:.60} is no record that nextplate writes")
        elif self.drawn:
            raise DataError("an aspirate without its dispense")

    def _comment(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "plate":
            label, _, self.kinds[label] = rest.rpartition(" ")
        elif word == "name":
            label, _, part = rest.partition("=")
            self.coded[label] = self.coded.get(label, "") + part
        elif word == "transfer":
            self.compound = rest.partition(" ")[2]

    def _moved(self, fields: list[str]) -> None:
        if len(fields) != 11:
            raise DataError(f"{len(fields)} fields, not 11")
        label, volume_nl = fields[1], whole_nl(fields[6], per_unit=1000)
        well = self._well(label, fields[4])
        if fields[0] == "A":
            if self.drawn:
                raise DataError("two aspirates follow each other")
            self.drawn = label, well, volume_nl
            return
        if self.drawn is None or self.drawn[2] != volume_nl:
            raise DataError("a dispense that is not of the aspirate before it")
        self.picks.append(Pick(*self.drawn[:2], label, well, volume_nl, self.compound))
        self.drawn = None

    def _well(self, label: str, text: str) -> str:
        if label not in self.kinds or self.kinds[label] not in LABWARE:
            raise DataError(f"plate {label!r:.40} is not named in a comment")
        shape = LABWARE[self.kinds[label]].wells_format
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= shape.n_wells):
            raise DataError(f"position {text!r:.20} is not on a plate of {shape.n_wells} wells")
        column, row = divmod(int(text) - 1, shape.n_rows)
        return well_name(row, column)

    def ended(self) -> tuple[Pick, ...]:
        """Return what was read, with names for labels."""
        if self.drawn:
            raise DataError("the last aspirate has no dispense; the file was cut")
        names = Names.from_pairs(self.coded.items()).by_label()
        return tuple(restored(pick, names) for pick in self.picks)
