"""OMERO.web's addresses, asked as one user: login, session that may end at any time, lists page by page.

Only GET and the login's POST are ever sent: nothing in OMERO is changed. A GET may be repeated, and is, until its time
is over; a login that was refused is not. A session that OMERO.web has forgotten (403, or a way to its login page) is
opened anew once per request. Addresses are built here; those in OMERO's answers (``url:..``) are not followed, except
where it sends a finished download to a file of its own server. Cookies, token and password are in no log.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

from drivers import omero_words as words
from drivers.deadline import Deadline
from drivers.http_body import Body
from drivers.http_wire import Answer, HttpWire, Refused, Sink, succeeded
from drivers.wire import Garbled, Silent
from nextplate.errors import NeedsOperator, Transient

API = "/api/v0"
PAGE = 200
_COOKIE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100})=([!#-+\--:<-\[\]-~]{0,4000})(?:;|$)")
_MOVED = frozenset({301, 302, 303, 307})
_MAX_LISTED = 1_000_000
_T = TypeVar("_T")


class LoginRefused(NeedsOperator):
    """OMERO does not let this user in."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks."""

    user: str
    password: Callable[[], str]
    """Raises NeedsOperator where there is none."""
    server: str = ""
    """Of the OMERO servers behind this OMERO.web; "" for the only one."""


@dataclass(frozen=True, slots=True)
class LinePace:
    """How long requests take, in seconds."""

    reply_s: float = 30.0
    """One answer; a list of wells with all their images may take OMERO long."""
    patience_s: float = 120.0
    """So long a GET is repeated."""
    again_s: float = 2.0
    bytes_per_s: float = 500_000.0
    """Slower than this, a download is given up and begun anew."""


class OmeroLine:
    """One OMERO.web. Not for several threads."""

    def __init__(self, wire: HttpWire, account: Account | None, pace: LinePace) -> None:
        """Make it; `account` None: whatever OMERO.web shows the public."""
        self.wire, self._account, self._pace = wire, account, pace
        self._cookies: dict[str, str] = {}
        self._is_in = account is None

    @property
    def user(self) -> str:
        """Return who asks; "" for the public."""
        return "" if self._account is None else self._account.user

    def get(self, read: Callable[[Any, str], _T], target: str, until: Deadline) -> _T:
        """Ask until it is answered, and read the answer.

        Raises:
            Transient: it was not answered in time.
            NeedsOperator: OMERO refuses.
        """
        return self._again(lambda soon: read(self._asked(target, soon).json(), target), self._pace.reply_s, until)

    def listing(
        self,
        read: Callable[[Any, str], _T],
        target: str,
        until: Deadline,
        query: Mapping[str, str | int] = MappingProxyType({}),
        *,
        size: int = PAGE,
    ) -> list[_T]:
        """Read a whole list, `size` at a time; one that changes between two of its pages is no list.

        Raises:
            Transient: as `get`, or it changed.
            NeedsOperator: OMERO refuses.
        """
        items: list[Mapping[str, Any]] = []
        while True:
            page = f"{target}?{urlencode({**query, 'limit': size, 'offset': len(items)})}"
            found = self.get(words.listed, page, until)
            if found.offset != len(items) or not len(items) + len(found.items) <= found.total <= _MAX_LISTED:
                raise Garbled(f"{page}: {len(found.items)} of {found.total} from {found.offset} on, which is no page")
            items += found.items
            if len(items) == found.total:
                break
            if not found.items:
                raise Garbled(f"{page}: the list ends before its {found.total} entries")
        ids = [item.get("@id") for item in items]
        if len({*map(str, ids)}) != len(ids):
            raise Garbled(f"{target}: the list changed while it was read")
        return [read(item, target) for item in items]

    def notes(self, on: str, ids: list[int], until: Deadline) -> list[words.Notes]:
        """Return the key-value annotations of things of one kind ('plate', 'well', 'image'); raises as `get`."""
        found: dict[int, words.Notes] = {}
        for some in (ids[n : n + 50] for n in range(0, len(ids), 50)):
            for note in self._notes(on, some, until):
                if note.on != on or note.on_id not in some or note.link in found:
                    raise Garbled(f"annotations of {on} {some[0]} ..: one of {note.on} {note.on_id} came")
                found[note.link] = note
        return list(found.values())

    def _notes(self, on: str, ids: list[int], until: Deadline, limit: int = 5000) -> Iterator[words.Notes]:
        page, is_last = 0, False
        while not is_last:
            page += 1
            query = urlencode([("type", "map"), *((on, n) for n in ids), ("page", page), ("limit", limit)])
            came = self.get(words.notes, f"/webclient/api/annotations/?{query}", until)
            yield from came
            is_last = len(came) < limit

    def fetch(
        self, target: str, into: Callable[[], Sink], check: Callable[[], _T], max_bytes: int, until: Deadline
    ) -> _T:
        """Bring a file, and return what `check` finds in it.

        Args:
            target: its address.
            into: called for a fresh start before every attempt.
            check: looks at what came; raises Garbled for what has to be brought anew.
            max_bytes: a longer file is none.
            until: when to give up.

        Raises:
            Transient: it did not come in time.
            NeedsOperator: OMERO refuses, or `into` or `check` does.
        """
        wait_s = self._pace.reply_s + max_bytes / self._pace.bytes_per_s

        def once(soon: Deadline) -> _T:
            asked = self._asked(target, soon, into(), max_bytes, may_move=True)
            if asked.status in _MOVED:
                succeeded(self._request(self._moved(asked), soon, into(), max_bytes))
            return check()

        return self._again(once, wait_s, until)

    def login(self, until: Deadline) -> None:
        """Open a session; nothing where nobody logs in.

        Raises:
            Transient: no answer.
            LoginRefused: OMERO does not let this user in.
            NeedsOperator: there is no password, or no such server.
        """
        if self._account is None:
            return
        self._cookies.clear()
        password = self._account.password()
        token = words.token(succeeded(self._request(f"{API}/token/", until)).json(), "token")
        found = succeeded(self._request(f"{API}/servers/", until)).json()
        said = {
            "server": words.server_id(found, self._account.server, "servers"),
            "username": self._account.user,
            "password": password,
            "csrfmiddlewaretoken": token,
        }
        body = Body(urlencode(said).encode(), "application/x-www-form-urlencoded")
        secrets = (quote(password, safe="").encode(), urlencode({"p": password})[2:].encode(), token.encode())
        headers = {**self._headers, "X-CSRFToken": token}
        answer = self.wire.request("POST", f"{API}/login/", until, body, headers, secrets=secrets)
        self._keep(answer)
        if answer.status in (400, 401, 403):
            raise self._not_let_in(answer)
        if not words.is_logged_in(succeeded(answer).json(), "login"):
            raise self._not_let_in(answer)
        self._is_in = True

    def _again(self, ask: Callable[[Deadline], _T], wait_s: float, until: Deadline) -> _T:
        until = until.within(max(self._pace.patience_s, wait_s))
        trouble: Transient | None = None
        while True:
            try:
                return ask(until.within(wait_s))
            except Transient as error:
                # what it said, rather than that it was silent at last
                trouble = error if trouble is None or not isinstance(error, Silent) else trouble
                if until.is_over:
                    raise trouble from None
            until.pause(self._pace.again_s)

    def _asked(
        self,
        target: str,
        until: Deadline,
        into: Sink | None = None,
        max_bytes: int | None = None,
        *,
        may_move: bool = False,
    ) -> Answer:
        """Ask once, and once more in a new session where the old one is lost."""
        was_in = self._is_in
        if not self._is_in:
            self.login(until)
        answer = self._request(target, until, into, max_bytes)
        if self._account is not None and was_in and _is_outside(answer):
            self._is_in = False
            self.login(until)
            answer = self._request(target, until, into, max_bytes)
        if _is_outside(answer):
            said = f"{answer.asked} was answered {answer.status}: {_said(answer)}"
            raise Refused(f"{said}; may {self.user or 'the public'} read this?", answer)
        return answer if may_move and answer.status in _MOVED else succeeded(answer)

    def _request(self, target: str, until: Deadline, into: Sink | None = None, max_bytes: int | None = None) -> Answer:
        answer = self.wire.request("GET", target, until, None, self._headers, into=into, max_reply=max_bytes)
        self._keep(answer)
        return answer

    @property
    def _headers(self) -> Mapping[str, str]:
        # XMLHttpRequest: a lost session is told with a 403, not with a way to a page for people
        headers = {"X-Requested-With": "XMLHttpRequest", "Referer": self.wire.url + "/"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return headers

    def _keep(self, answer: Answer) -> None:
        """Keep the cookies that came."""
        for name, text in answer.headers:
            if name == "set-cookie" and (match := _COOKIE.match(text)) and len(self._cookies) < 20:
                self._cookies[match[1]] = match[2]

    def _moved(self, answer: Answer) -> str:
        """Return the path on this server that an answer sends to.

        Raises:
            NeedsOperator: it leads elsewhere.
        """
        ours, way = urlsplit(self.wire.url), answer.header("location")
        there = urlsplit(urljoin(f"{self.wire.url}/", way))
        path = quote(there.path, safe="/%:@!$&'()*+,;=~-._") + (f"?{there.query}" if there.query else "")
        base = ours.path.rstrip("/")
        if _origin(ours) != _origin(there) or not path.startswith(f"{base}/"):
            raise Refused(
                f"{answer.asked} was answered with a way to {way[:200]!a}, which is no place of this url", answer
            )
        return path[len(base) :]

    def _not_let_in(self, answer: Answer) -> LoginRefused:
        return LoginRefused(
            f"OMERO refuses user {self.user} ({answer.status}: {_said(answer)}); correct user and password_env, or "
            "option server"
        )


def _said(answer: Answer) -> str:
    try:
        return words.refusal(answer.json()) or answer.words
    except Garbled:
        return answer.words


def _is_outside(answer: Answer) -> bool:
    """Say whether it means that nobody is logged in, or not one who may."""
    if answer.status in _MOVED:
        return answer.header("location").partition("?")[0].rstrip("/").endswith("/login")
    return answer.status in (401, 403)


def _origin(place: SplitResult) -> tuple[str, str, int]:
    try:
        port = place.port
    except ValueError as error:
        raise Garbled(f"{place.netloc!a} has no port that is a number") from error
    return place.scheme, (place.hostname or "").lower(), port or (443 if place.scheme == "https" else 80)
