"""Text from the lab made harmless: a plate's name or a device's message can add no header, tag, link or mark-up."""

import unicodedata

SMS_LENGTH = 160
"""Characters of one SMS, as long as all are plain ASCII."""
_SWAPS = str.maketrans(
    {
        "<": "‹", ">": "›", "&": "+", "`": "'", "*": "∗", "[": "(", "]": ")", "#": "♯", "~": "-", "|": "/", "\\": "/",
        "@": "(at)",
    }
)  # fmt: skip
_ASCII = str.maketrans(
    {"‹": "(", "›": ")", "∗": "x", "♯": "no.", "µ": "u", "–": "-", "—": "-", "’": "'", "“": '"', "”": '"', "…": ".."}
)
# The extension table of GSM counts twice or is not there at all on some gateways.
_NOT_IN_GSM = str.maketrans("^{}[]~|\\`", "-()()-/'" + "'")


def plain(text: object, most: int = 400) -> str:
    """Write a name or message of the lab on one line, without anything a mail or chat could take for mark-up."""
    line = " ".join("".join(c if _is_printed(c) else " " for c in str(text)).split())
    line = " ".join(_without_emphasis(line.replace("://", ": //").translate(_SWAPS)).split())
    return line if len(line) <= most else line[: most - 2] + ".."


def _is_printed(char: str) -> bool:
    """Tell letters and signs from line ends, control characters and those that turn the direction of writing."""
    return unicodedata.category(char)[0] not in "CZ"


def _without_emphasis(line: str) -> str:
    """Blank underscores but those inside a word, which mark-up leaves alone."""

    def is_inside(n: int) -> bool:
        return 0 < n < len(line) - 1 and line[n - 1].isalnum() and line[n + 1].isalnum()

    return "".join(" " if c == "_" and not is_inside(n) else c for n, c in enumerate(line))


def sms(head: str, middle: str, tail: str, most: int = SMS_LENGTH) -> str:
    """Write a message of at most `most` characters: the middle gives way, then the head; the tail says what to do."""
    head, middle, tail = (_gsm(part) for part in (head, middle, tail))
    tail = tail[:most]
    room = most - len(tail) - 1
    head = head[: max(0, room)]
    room -= len(head) + 1
    middle = middle if len(middle) <= room else middle[: room - 2] + ".." if room > 12 else ""
    return " ".join(part for part in (head, middle, tail) if part)[:most]


def _gsm(text: str) -> str:
    spelled = unicodedata.normalize("NFKD", text.translate(_ASCII)).encode("ascii", "ignore").decode()
    printed = "".join(c if c.isprintable() else " " for c in spelled.translate(_NOT_IN_GSM))
    return " ".join(printed.split())
