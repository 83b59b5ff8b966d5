"""OMERO.web with its JSON API, webclient annotations and OME-TIFF export; from its public documentation and addresses.

Sources: omero-documentation (developers/json-api.rst), and for what that page lacks (annotations, export, what a lost
session is answered) omero-web's published addresses and answers. Written from those, and from no driver. Only what is
read is emulated: whoever POSTs anything but a login gets 405, and it is remembered in `OmeroEmulator.violations`.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

from sim.wire import omero_json as write
from sim.wire.http_server import HttpReply, HttpRequest
from sim.wire.omero_store import Store
from sim.wire.time import EmulatedTime

_LIMIT, _MAX_LIMIT = 200, 500
_API = "/api/v0"
_MOVED = "/static/webgateway/tfiles/"
Json = dict[str, Any]


class OmeroEmulator:
    """One OMERO.web before one OMERO server; the user is ``lab``, the password ``se cret&ü``."""

    def __init__(self, time: EmulatedTime) -> None:
        self.time, self.store = time, Store(time)
        self.lock = self.store.lock
        self.user, self.password = "lab", "se cret&ü"
        self.is_public = False
        """Whoever comes is let in as the public user."""
        self.has_temp_files = False
        """An export is answered with a way to a file, as where omero.web has a place for such files."""
        self.pyramids: set[int] = set()
        """Images too large for an export."""
        self.violations: list[str] = []
        self.n_logins = 0
        self.exports: list[int] = []
        """Every image that was exported, in order."""
        self._sessions: set[str] = set()
        self._tokens: dict[str, set[str]] = {}
        """CSRF tokens by the cookie they were given with."""
        self._n_given = 0

    def forget_sessions(self) -> None:
        """End every session, as a restart or their age does."""
        with self.lock:
            self._sessions.clear()

    def power_cycle(self) -> None:
        """Lose the sessions; what is stored stays."""
        self.forget_sessions()

    def handle(self, request: HttpRequest) -> HttpReply:
        """Answer a request."""
        with self.lock:
            if request.method == "POST" and request.path == f"{_API}/login/":
                return self._login(request)
            if request.method != "GET":
                self.violations.append(f"{request.method} {request.target}")
                return _json({"message": "Method Not Allowed"}, 405)
            return self._got(request)

    def _got(self, request: HttpRequest) -> HttpReply:
        base = f"http://{request.headers.get('host', 'localhost')}{_API}"
        match request.path:
            case "/api/":
                return _json({"data": [{"version": "0", "url:base": f"{base}/"}]})
            case "/api/v0/":
                names = ("plates", "screens", "images", "projects", "datasets", "experimentergroups")
                urls = {f"url:{name}": f"{base}/m/{name}/" for name in names}
                ways = {f"url:{name}": f"{base}/{name}/" for name in ("token", "servers", "login")}
                return _json({**urls, **ways, "url:schema": write.SCHEMA})
            case "/api/v0/token/":
                return self._token(request)
            case "/api/v0/servers/":
                return _json({"data": [{"id": 1, "host": "omero.example.org", "port": 4064, "server": "omero"}]})
            case "/api/v0/login/":
                return _json({"message": "POST only with username, password, server and csrftoken"}, 405)
        if not self._is_in(request):
            return _outside(request)
        try:
            return self._inside(request, base)
        except ValueError as error:
            return _json({"message": str(error)}, 400)

    def _inside(self, request: HttpRequest, base: str) -> HttpReply:
        path = request.path
        routes: Sequence[tuple[str, Callable[..., HttpReply]]] = (
            (r"/api/v0/m/plates/", self._plates),
            (r"/api/v0/m/screens/(\d+)/plates/", self._plates),
            (r"/api/v0/m/plates/(\d+)/", self._plate),
            (r"/api/v0/m/plates/(\d+)/wells/", self._wells),
            (r"/api/v0/m/wells/(\d+)/", self._well),
            (r"/api/v0/m/images/(\d+)/", self._image),
            (r"/api/v0/m/screens/", self._screens),
            (r"/api/v0/m/experimentergroups/", self._groups),
            (r"/webclient/api/annotations/", self._annotations),
            (r"/webgateway/render_ome_tiff/i/(\d+)/", self._export),
            (rf"{_MOVED}(\d+)/image\.ome\.tiff", self._file),
        )
        for pattern, answer in routes:
            if match := re.fullmatch(pattern, path):
                return answer(request, base, *map(int, match.groups()))
        return HttpReply(404, b"<h1>Not Found</h1>", {"Content-Type": "text/html"})

    # sessions

    def _token(self, request: HttpRequest) -> HttpReply:
        cookie = self._cookies(request).get("csrftoken", "")
        if cookie not in self._tokens:
            cookie = self._given("c")
            self._tokens[cookie] = set()
        token = self._given("t")  # masked anew for every answer
        self._tokens[cookie].add(token)
        return _json({"data": token}, cookies=(f"csrftoken={cookie}; Path=/; SameSite=Lax",))

    def _login(self, request: HttpRequest) -> HttpReply:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        token = form.get("csrfmiddlewaretoken") or request.headers.get("x-csrftoken", "")
        cookie = self._cookies(request).get("csrftoken", "")
        if token not in self._tokens.get(cookie, ()):
            page = b"<h1>Forbidden</h1><p>CSRF verification failed. Request aborted.</p>"
            return HttpReply(403, page, {"Content-Type": "text/html"})
        if lacking := [name for name in ("server", "username", "password") if name not in form]:
            return _json({"message": " ".join(f"{n.title()}: This field is required." for n in lacking)}, 403)
        if (form["server"], form["username"], form["password"]) != ("1", self.user, self.password):
            return _json({"message": "Connection not available, please check your user name and password."}, 403)
        session, rotated = self._given("s"), self._given("c")
        self._sessions.add(session)
        self._tokens[rotated] = set()
        self.n_logins += 1
        context = {"userName": self.user, "userId": 3, "sessionUuid": self._given("u"), "groupId": 5, "isAdmin": False,
                   "memberOfGroups": [5, 1], "leaderOfGroups": [], "groupName": "Screening", "eventType": "User",
                   "eventId": -1, "sessionId": 171319}  # fmt: skip
        cookies = (f"csrftoken={rotated}; Path=/; SameSite=Lax", f"sessionid={session}; HttpOnly; Path=/")
        return _json({"success": True, "eventContext": context}, cookies=cookies)

    def _is_in(self, request: HttpRequest) -> bool:
        return self.is_public or self._cookies(request).get("sessionid", "") in self._sessions

    def _given(self, kind: str) -> str:
        self._n_given += 1
        return f"{kind}{self._n_given:031d}"

    @staticmethod
    def _cookies(request: HttpRequest) -> dict[str, str]:
        pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
        return {name: value for name, _, value in pairs}

    # what is stored

    def _plates(self, request: HttpRequest, base: str, screen: int | None = None) -> HttpReply:
        screen = _number(request, "screen", screen)
        group = _number(request, "group", -1)
        found = [
            write.plate(plate, base)
            for plate in self.store.listed_plates()
            if (screen is None or screen in plate.screens) and group in (-1, plate.group)
        ]
        return _paged(request, found)

    def _plate(self, _: HttpRequest, base: str, number: int) -> HttpReply:
        plates = [plate for plate in self.store.listed_plates() if plate.id == number]
        return _json({"data": write.plate(plates[0], base)}) if plates else _absent("Plate", number)

    def _wells(self, request: HttpRequest, base: str, number: int) -> HttpReply:
        plates = [plate for plate in self.store.listed_plates() if plate.id == number]
        wells = sorted(plates[0].wells, key=lambda w: (w.column, w.row)) if plates else []
        now = self.time.now_s()
        return _paged(request, [write.well(w, plates[0].runs, base, now, has_pixels=False) for w in wells])

    def _well(self, _: HttpRequest, base: str, number: int) -> HttpReply:
        now = self.time.now_s()
        for plate in self.store.listed_plates():
            for well in plate.wells:
                if well.id == number:
                    return _json({"data": write.well(well, plate.runs, base, now, has_pixels=True)})
        return _absent("Well", number)

    def _image(self, _: HttpRequest, base: str, number: int) -> HttpReply:
        image = next((each for each in self.store.images() if each.id == number), None)
        if image is None:
            return _absent("Image", number)
        return _json({"data": write.image(image, base, self.time.now_s())})

    def _screens(self, request: HttpRequest, base: str) -> HttpReply:
        return _paged(request, [write.named("Screen", n, name, base) for n, name in self.store.screens.items()])

    def _groups(self, request: HttpRequest, base: str) -> HttpReply:
        return _paged(
            request, [write.named("ExperimenterGroup", n, name, base) for n, name in self.store.groups.items()]
        )

    def _annotations(self, request: HttpRequest, _: str) -> HttpReply:
        page, limit = _number(request, "page", 1) or 1, _number(request, "limit", 20_000) or 20_000
        kinds = request.query.get("type", [])
        found: list[Json] = []
        names = {plate.id: plate.name for plate in self.store.plates.values()}
        for kind, name in (("image", "ImageI"), ("well", "WellI"), ("plate", "PlateI")):
            ids = {int(number) for number in request.query.get(kind, []) if number}
            fitting = [n for n in self.store.notes if n.on == name and n.on_id in ids and kinds in ([], ["map"])]
            found += [write.notes(n, names) for n in fitting[(page - 1) * limit : page * limit]]
        owners = [{"id": 3, "omeName": self.user, "firstName": "La", "lastName": "Bor"}] if found else []
        return _json({"annotations": found, "experimenters": owners})

    def _export(self, request: HttpRequest, _: str, number: int) -> HttpReply:
        if self.has_temp_files:
            return HttpReply(302, b"", {"Location": f"{_MOVED}{number}/image.ome.tiff", "Content-Type": "text/html"})
        return self._file(request, _, number)

    def _file(self, _request: HttpRequest, _: str, number: int) -> HttpReply:
        now = self.time.now_s()
        image = next((each for each in self.store.images() if each.id == number and each.ready_at <= now), None)
        if image is None or number in self.pyramids:
            return HttpReply(404, b"<h1>Not Found</h1>", {"Content-Type": "text/html"})
        self.exports.append(number)
        headers = {"Content-Type": "image/tiff", "Content-Disposition": f'attachment; filename="{number}.ome.tiff"'}
        return HttpReply(200, image.ome_tiff(), headers)


def _outside(request: HttpRequest) -> HttpReply:
    if request.path.startswith("/api/"):
        return _json({"message": "Not logged in"}, 403)
    if request.headers.get("x-requested-with") == "XMLHttpRequest":
        return HttpReply(403, b"", {"Content-Type": "text/html"})
    return HttpReply(302, b"", {"Location": f"/webclient/login/?url={request.path}", "Content-Type": "text/html"})


def _paged(request: HttpRequest, items: list[Json]) -> HttpReply:
    limit, offset = _number(request, "limit", _LIMIT), _number(request, "offset", 0)
    limit = _LIMIT if limit is None or limit < 0 else min(limit, _MAX_LIMIT)
    offset = 0 if offset is None or offset < 0 else offset
    meta = {"offset": offset, "limit": limit, "maxLimit": _MAX_LIMIT, "totalCount": len(items)}
    return _json({"data": items[offset : offset + limit], "meta": meta})


def _number(request: HttpRequest, name: str, default: int | None) -> int | None:
    values = request.query.get(name)
    return int(values[0]) if values else default


def _absent(kind: str, number: int) -> HttpReply:
    return _json({"message": f"{kind} {number} not found"}, 404)


def _json(value: Json, status: int = 200, *, cookies: tuple[str, ...] = ()) -> HttpReply:
    return HttpReply(status, json.dumps(value).encode(), {"X-OMERO-ApiVersion": "0.2"}, cookies)


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("omero")
