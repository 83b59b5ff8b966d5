"""Blank the secrets of a URL in a text; light, as every sending process loads it."""

import re
from urllib.parse import unquote


def scrubbed(text: str, url: str, host: str | None) -> str:
    """Blank every part of a URL that stands in a text; the host of a mail or web server may be shown."""
    safe = text.replace(url, "***")
    parts = {p for p in re.split(r"[:/@?&=,+#]+", url.partition("://")[2]) if len(p) > 2}
    parts |= {unquote(p) for p in parts}
    mark = "\0"
    if host:
        safe = safe.replace(host, mark)
    for part in sorted(parts - {host or ""}, key=len, reverse=True):
        edge = "" if len(part) > 5 else r"\b"  # a short one is also a part of plain words
        safe = re.sub(f"{edge}{re.escape(part)}{edge}", "***", safe)
    return safe.replace(mark, host or "")
