"""Read lab.toml; say of every mistake where it stands."""

import difflib
import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.settings.whole import Settings
from nextplate.errors import SettingsError

OF_A_CAMPAIGN = ("campaign", "assay", "plate", "readout", "picking", "belief", "approval", "cost", "faults")
"""Tables that a campaign may have of its own; all others are the lab's."""


def load_settings(path: Path) -> Settings:
    """Read and validate lab.toml.

    Raises:
        SettingsError: every problem at once, one line each: file, line, key, value found, values allowed.
    """
    text = _read(path, f"make a lab with: nextplate init {path.parent}")
    return _validated(path, text, _parsed(path, text))


def load_campaigns(folder: Path, settings: Settings) -> tuple[Settings, ...]:
    """Read the further campaigns of a lab, ``campaigns/*.toml``, each with the tables in which it differs.

    Raises:
        SettingsError: as load_settings; two campaigns of one name; a table that is the whole lab's.
    """
    found: dict[str, Path] = {settings.campaign.name: folder / "lab.toml"}
    paths, more = sorted((folder / "campaigns").glob("*.toml")), []
    base = _parsed(folder / "lab.toml", _read(folder / "lab.toml", "")) if paths else {}
    for path in paths:
        one = _load_campaign(path, base)
        if one.campaign.name in found:
            raise SettingsError(
                f"{path}: campaign.name = {one.campaign.name!r} is that of {found[one.campaign.name]}; "
                "give every campaign its own"
            )
        found[one.campaign.name] = path
        more.append(one)
    return tuple(more)


def _load_campaign(path: Path, base: dict[str, Any]) -> Settings:
    text = _read(path, "")
    body = _parsed(path, text)
    if foreign := sorted(set(body) - set(OF_A_CAMPAIGN)):
        line = _line_of(text, foreign[:1])
        raise SettingsError(
            f"{path}{f':{line}' if line else ''}: table {foreign[0]!r} is the lab's and stands in lab.toml; a campaign "
            f"may have of its own: {', '.join(OF_A_CAMPAIGN)}"
        )
    if not isinstance(body.get("campaign"), dict) or "name" not in body["campaign"]:
        raise SettingsError(f"{path}: a campaign needs a name of its own: [campaign] name = {path.stem!r}")
    return _validated(path, text, base | {name: _over(base.get(name), table) for name, table in body.items()})


def _over(table: Any, change: Any) -> Any:
    """Lay a campaign's own keys over a table; what is no table is refused when it is validated."""
    return {**table, **change} if isinstance(table, dict) and isinstance(change, dict) else change


def _read(path: Path, hint: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file; {hint}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def _validated(path: Path, text: str, body: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(body)
    except ValidationError as error:
        lines = [_explain(path, text, item) for item in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def _explain(path: Path, text: str, item: ErrorDetails) -> str:
    keys = [str(part) for part in item["loc"]]
    outwards = (_line_of(text, keys[:n]) for n in range(len(keys), 0, -1))
    line = next((number for number in outwards if number), None)
    where = f"{path}:{line}" if line else str(path)
    dotted = ".".join(keys)
    if item["type"] == "extra_forbidden":
        return f"{where}: {dotted} is not a setting{_did_you_mean(keys)}"
    is_untold = isinstance(item["input"], dict | tuple | list) or _is_secret(keys)
    found = "" if is_untold else f" = {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    key = f"{dotted}{found}: " if dotted else ""
    return f"{where}: {key}{message[0].lower()}{message[1:]}"


def _is_secret(keys: list[str]) -> bool:
    """Tell whether a value may hold a password, which no message repeats."""
    return keys[:2] == ["notifications", "channels"] or keys[-1:] == ["token"]


def _did_you_mean(keys: list[str]) -> str:
    allowed = _fields_at(keys[:-1])
    close = difflib.get_close_matches(keys[-1], allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (allowed: {', '.join(allowed)})"


def _fields_at(keys: list[str]) -> list[str]:
    model: Any = Settings
    for key in (k for k in keys if not k.isdigit() and k in model.model_fields):  # others are names people gave
        annotation = model.model_fields[key].annotation
        model = _model_in(annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, dict, Union, UnionType, Annotated):
        return next((m for a in get_args(annotation) if (m := _model_in(a))), None)
    return None


def _line_of(text: str, keys: list[str]) -> int | None:
    """Find the line where a key is set, counting tables as the file writes them."""
    table, index, seen = "", -1, 0
    wanted_index = next((int(k) for k in keys if k.isdigit()), None)
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if header := re.match(r"^\[(\[)?\s*([\w.-]+)\s*\]", line):
            table = header[2]
            index = seen if header[1] and keys[:1] == [table] else -1
            seen += index >= 0
            if ".".join(keys) == table or (
                len(keys) == 2 and index == wanted_index and keys[0] == table and keys[1].isdigit()
            ):
                return number
        elif (
            keys
            and re.match(rf"^{re.escape(keys[-1])}\s*=", line)
            and (table == ".".join(k for k in keys[:-1] if not k.isdigit()))
            and (wanted_index is None or index == wanted_index)
        ):
            return number
    return None
