"""Take secrets out of a lab.toml before it leaves the house; what remains is still a lab.toml."""

import re

REDACTED = "REDACTED"
_SECRET = re.compile(
    r"token|secret|authori[sz]ation|bearer|passw|passphrase|api_?key|private_?key|credential|webhook|^urls?$",
    re.IGNORECASE,
)
_OPEN = ("port", "watch", "exchange")
_STRING = re.compile(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'')
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"']*@")
_KEY = re.compile(r"([A-Za-z0-9_-]+)[\"']?\s*=\s*$")
_QUERY = re.compile(r"([?&](?:[^=&\s\"']*(?:key|token|pass|secret|sig)[^=&\s\"']*)=)[^&\s\"']+", re.IGNORECASE)
_PLAIN_SCHEMES = ("sqlite", "http", "https", "socket", "replay", "postgresql", "postgresql+psycopg", "postgres", "file")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S+")


def redacted_toml(text: str) -> str:
    """Return lab.toml without its secrets, line for line.

    Out go values of keys that sound like a secret, everything in a table of notifications that is a URL, logins in
    any URL, and whole URLs of schemes that carry their secret in the path (as apprise's do).
    """
    lines, table, key = [], "", ""
    for piece in _statements(text):
        if header := re.match(r"\s*\[+\s*([\w.-]+)", piece):
            table = header[1]
        key_here = re.match(r"\s*([\w-]+)\s*=", piece)
        key = key_here[1] if key_here else key
        lines.append(_redacted(piece, table, key))
    return "".join(lines)


def _statements(text: str) -> list[str]:
    """Split text into lines; a multi-line string stays with the line it begins on."""
    pieces, start = [], 0
    strings = [(m.start(), m.end()) for m in _STRING.finditer(text) if "\n" in m[0]]
    for at in (m.end() for m in re.finditer(r"\n|$", text)):
        if any(a < at <= b for a, b in strings) or at == start:
            continue
        pieces.append(text[start:at])
        start = at
    return pieces


def _redacted(piece: str, table: str, key: str) -> str:
    """Redact a line; a comment may hold a value that was commented out, and is treated alike."""
    is_notice = table.split(".")[0] in ("notify", "notifications", "alerts")

    def one(found: re.Match[str]) -> str:
        near = _KEY.search(piece[: found.start()])
        name = near[1] if near else key
        value = found[0].strip("\"'")
        if _is_secret(name, value, is_notice):
            return f'"{REDACTED}"'
        return _QUERY.sub(rf"\1{REDACTED}", _USERINFO.sub(rf"\1{REDACTED}@", found[0]))

    return _STRING.sub(one, piece)


def _is_secret(name: str, value: str, is_notice: bool) -> bool:
    if not value or name.endswith("_env"):
        return False  # the name of a variable, not what is in it
    url = _URL.fullmatch(value)
    if url and (is_notice or url[1].lower() not in _PLAIN_SCHEMES):
        return True
    return bool(_SECRET.search(name)) and not (url and not is_notice and name == "url")
