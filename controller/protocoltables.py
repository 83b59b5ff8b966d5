"""CSV runtime parameters of a vendor's protocol file, as an operator names them: NAME=FILE."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from nextplate.errors import DataError
from protocols.analyze import Analysis, analyze

MAX_BYTES = 100_000_000
"""Of a table."""


def read_tables(said: Iterable[str]) -> dict[str, Path]:
    """Read NAME=FILE pairs.

    Raises:
        DataError: one is spelled otherwise, a name comes twice, or a file is none that can be sent to a robot.
    """
    tables: dict[str, Path] = {}
    for text in said:
        name, equals, file = text.partition("=")
        if not (equals and name and file):
            raise DataError(f"--table {text}: write NAME=FILE, the name as the protocol file calls its parameter")
        if name in tables:
            raise DataError(f"--table {text}: {name} is {tables[name]} already; a parameter is one file")
        tables[name] = _text_file(name, Path(file))
    return tables


def _text_file(name: str, path: Path) -> Path:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"table {name}: {path}: {path.stat().st_size} bytes are no table")
        if not path.read_text(encoding="utf-8").strip():
            raise DataError(f"table {name}: {path} is empty; write it again")
    except OSError as error:
        raise DataError(f"table {name}: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"table {name}: {path}: byte {error.start} is not UTF-8; save the sheet as CSV") from error
    return path


def analyzed(path: Path, python: Path | None, tables: Mapping[str, Path]) -> Analysis:
    """Let the vendor's interpreter run a file with its tables.

    Raises:
        DataError: the file takes other tables, or refuses one; names file, parameter and table.
        StepError: there is no interpreter for it.
    """
    analysis = analyze(path, python, tables=tables)
    missing = [name for name in analysis.tables if name not in tables]
    if analysis.result == "parameter-value-required" or (missing and analysis.is_ok and not tables):
        raise DataError(f"{path} takes {_named(missing)}, and got none; add {_options(missing)}")
    if not tables:
        return analysis
    # An interpreter ignores tables where a file takes none, and names none where a name is wrong.
    takes = analysis.tables if analysis.tables or analysis.is_ok else analyze(path, python).tables
    if unknown := sorted(set(tables) - set(takes)):
        known = f"it takes {_named(takes)}" if takes else "it takes no table"
        raise DataError(f"{path} has no CSV parameter {', '.join(map(repr, unknown))}; {known}")
    if analysis.is_ok:
        return analysis
    given = ", ".join(f"{name} ({file})" for name, file in tables.items())
    raise DataError(f"{path} with table {given}: {'; '.join(analysis.errors) or analysis.result}")


def _named(names: Iterable[str]) -> str:
    return "table " + ", ".join(map(repr, names))


def _options(names: Iterable[str]) -> str:
    return " ".join(f"--table {name}=FILE" for name in names)
