"""A real mail server and a real webhook on this machine, that can be down, slow, or refuse."""

import json
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class MailHandler:
    """Keeps what it is sent; ``refuse`` is the reply instead, ``wait_s`` how long it thinks first."""

    refuse: str = ""
    wait_s: float = 0.0
    raw: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.wait_s:
            import asyncio

            await asyncio.sleep(self.wait_s)
        if self.refuse:
            return self.refuse
        self.raw.append(envelope.content)
        return "250 taken"


class MailServer:
    """An SMTP server on a free port; ``stop`` and ``start`` take it down and up on the same one."""

    def __init__(self, port: int) -> None:
        self.port, self.handler = port, MailHandler()
        self._controller: Controller | None = None

    def start(self) -> "MailServer":
        self._controller = Controller(self.handler, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller:
            self._controller.stop()
            self._controller = None

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=robot@lab.example&to=night@lab.example&mode=insecure"

    def mails(self) -> list[EmailMessage]:
        found = [message_from_bytes(raw, policy=policy.default) for raw in self.handler.raw]
        return [m for m in found if isinstance(m, EmailMessage)]


def text_of(mail: EmailMessage) -> str:
    """Return a mail's plain text."""
    part = mail.get_body(("plain", "html"))
    assert part is not None
    return str(part.get_content())


class Hook:
    """A webhook: ``statuses`` are its next answers (then 200), ``wait_s`` how long it thinks."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.ids: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        self.wait_s = 0.0
        self.gone = threading.Event()
        self.n_asked = 0
        self.n_now = self.most_at_once = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.n_asked += 1
                hook.n_now += 1
                hook.most_at_once = max(hook.most_at_once, hook.n_now)
                hook.gone.wait(hook.wait_s)
                hook.n_now -= 1
                status = hook.statuses.pop(0) if hook.statuses else 200
                if status == 200:
                    hook.posts.append(json.loads(body))
                    hook.ids.append((self.headers["X-Nextplate-Message"], self.headers["X-Nextplate-Try"]))
                try:
                    self.send_response(status)
                    self.end_headers()
                except OSError:
                    pass  # whoever asked has gone, as somebody past his deadline does

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/hook"

    def stop(self) -> None:
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()
