"""Names of plates and compounds as a vendor's file can carry them, and back.

A name is data, whatever it holds: separators, quotes, line breaks, a spreadsheet's formula, other alphabets. What is
plain stands for itself; everything else gets a label, and a table says which name it stands for.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nextplate.errors import DataError

LONGEST = 32
"""Signs of a label: what rack labels of the vendors' software take without being cut."""
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.()\[\]+-]*[A-Za-z0-9_.()\[\]+-])?")
"""Begins with a letter or a digit: no spreadsheet takes it for a formula."""
_KEPT = re.compile(r"[^A-Za-z0-9]+")
_CODED = re.compile(r"(?:[A-Za-z0-9_.]|%[0-9A-F]{2})*")
_HEADER = "label,name"


@dataclass(frozen=True, slots=True)
class Names:
    """Which label stands for which name in one file."""

    labels: Mapping[str, str]
    """By name; one not listed stands for itself."""

    @classmethod
    def of(cls, names: Iterable[str], longest: int = LONGEST) -> "Names":
        """Choose a label for each name: the name itself where it is plain, no two alike even where case is ignored.

        Args:
            names: in the order in which labels are numbered; may repeat.
            longest: signs a label may have, 16 or more.
        """
        wanted = list(dict.fromkeys(names))
        labels: dict[str, str] = {}
        taken: set[str] = set()
        for name in wanted:
            if len(name) <= longest and _PLAIN.fullmatch(name) and name.casefold() not in taken:
                labels[name] = name
                taken.add(name.casefold())
        number = 0
        for name in (n for n in wanted if n not in labels):
            while True:
                number += 1
                label = f"N{number:04d}-{_KEPT.sub('', name)}"[: min(longest, 20)]
                if label.casefold() not in taken:
                    break
            labels[name] = label
            taken.add(label.casefold())
        return cls(labels)

    def label(self, name: str) -> str:
        """Return what stands for a name in the file."""
        return self.labels.get(name, name)

    def name(self, label: str) -> str:
        """Return the name that a label stands for."""
        return next((name for name, known in self.labels.items() if known == label), label)

    def by_label(self) -> dict[str, str]:
        """Return names by label."""
        return {label: name for name, label in self.labels.items()}

    def replaced(self) -> tuple[tuple[str, str], ...]:
        """Return label and name of each name that does not stand for itself."""
        return tuple((label, name) for name, label in self.labels.items() if label != name)

    def to_csv(self) -> str:
        """Write the side table: label and percent-coded name, one a line, ASCII; empty where it is not needed."""
        rows = [f"{label},{coded(name)}" for label, name in self.replaced()]
        return "\r\n".join([_HEADER, *rows, ""]) if rows else ""

    @classmethod
    def from_csv(cls, text: str) -> "Names":
        """Read a side table.

        Raises:
            DataError: no such table, or a label twice; names the line.
        """
        if not text:
            return cls({})
        lines = text.splitlines()
        if lines[0] != _HEADER:
            raise DataError(f"line 1: {lines[0]!r:.60} is not the header {_HEADER!r} of a table of names")
        return cls.from_pairs(line.partition(",")[::2] for line in lines[1:])

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, ...]]) -> "Names":
        """Read labels and coded names.

        Raises:
            DataError: a label twice, or a name that is not coded.
        """
        labels: dict[str, str] = {}
        for label, text in pairs:
            name = decoded(text)
            if not label or label in labels.values() or name in labels:
                raise DataError(f"the table of names says {label!r:.40} or its name twice")
            labels[name] = label
        return cls(labels)


def coded(name: str) -> str:
    """Write any text in letters, digits, ``_``, ``.`` and %XX of its UTF-8 bytes; one spelling per text.

    It never begins like a formula of a spreadsheet.
    """
    return "".join(_coded(char) for char in name)


def _coded(char: str) -> str:
    if char.isascii() and (char.isalnum() or char in "_."):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def decoded(text: str) -> str:
    """Read what `coded` wrote.

    Raises:
        DataError: it did not write this.
    """
    try:
        if not _CODED.fullmatch(text):
            raise ValueError
        parts = re.findall(r"%([0-9A-F]{2})|([^%])", text)
        raw = b"".join(bytes([int(code, 16)]) if code else char.encode() for code, char in parts)
        return raw.decode("utf-8", "surrogatepass")
    except ValueError as error:
        raise DataError(f"{text!r:.60} is no coded name") from error


def chunks(text: str, size: int) -> Iterator[str]:
    """Cut a text into pieces of at most that many signs; an empty text is one empty piece."""
    yield from (text[i : i + size] for i in range(0, max(len(text), 1), size))
