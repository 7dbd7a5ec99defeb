"""The pages over HTTP. For one person on one machine: loopback by default, no session, nothing that changes a file."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from core import errors
from services.ui.site import Site

log = logging.getLogger(__name__)
PAGES = Path(__file__).parent / "pages"
FILES = {
    "/": "index.html",
    "/live": "live.html",
    "/ui.css": "ui.css",
    "/index.js": "index.js",
    "/live.js": "live.js",
}
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8",
}  # fmt: skip
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
MAX_IMAGE_BYTES = 8 << 20
AT_A_TIME = 4
"""Images in work; more are told to come again."""
IDLE_S = 30.0
LOCAL = ("127.0.0.1", "localhost", "[::1]")
STATUS: dict[type[errors.BakeoffError], int] = {
    errors.InvalidInputError: 400,
    errors.NotFoundError: 404,
    errors.WrongStateError: 409,
    errors.ExhaustedError: 429,
    errors.NotReadyError: 503,
    errors.DeadlineError: 504,
    errors.BakeoffError: 500,
}


class UiServer(ThreadingHTTPServer):
    """Serves a site. Port 0 takes a free one; `url` says where it is."""

    daemon_threads = True

    def __init__(self, site: Site, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.site = site
        self.host = host
        self.working = threading.BoundedSemaphore(AT_A_TIME)

    @property
    def url(self) -> str:
        """Address of the first page."""
        return f"http://{self.host}:{self.server_address[1]}/"

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server: a page elsewhere must not reach it under a name of its own."""
        port = self.server_address[1]
        return host in {f"{name}:{port}" for name in (*LOCAL, self.host)}


class _Handler(BaseHTTPRequestHandler):
    server: UiServer
    protocol_version = "HTTP/1.1"
    server_version = "bakeoff"
    sys_version = ""
    timeout = IDLE_S
    api: ClassVar[dict[str, Callable[[Site], Any]]] = {
        "/api/runs": Site.runs,
        "/api/models": Site.models,
        "/api/links": Site.links,
    }

    def do_GET(self) -> None:
        """A page, a report's file, or a list."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """An image for a model."""
        self._answer(self._predict)

    def _get(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path in FILES:
            page = PAGES / FILES[path]
            self._send(200, TYPES[page.suffix], page.read_bytes(), POLICY)
        elif path in self.api:
            self._json(200, self.api[path](self.server.site))
        elif path.startswith("/reports/"):
            self._report(path.removeprefix("/reports/"))
        else:
            raise errors.NotFoundError(f"no page {path}")

    def _report(self, name: str) -> None:
        root = self.server.site.reports.resolve()
        if "\0" in name:
            raise errors.InvalidInputError("a file name holds no zero byte")
        file = (root / name).resolve()
        if not file.is_relative_to(root) or file.suffix not in TYPES or not file.is_file():
            raise errors.NotFoundError(f"no report file {name}")
        # A report brings its own policy: its style and script are inside it.
        self._send(200, TYPES[file.suffix], file.read_bytes())

    def _predict(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != "/api/predict":
            raise errors.NotFoundError(f"no page {parts.path}")
        image = self._body()
        names = parse_qs(parts.query).get("model", [])
        if len(names) != 1:
            raise errors.InvalidInputError("expected one model: /api/predict?model=NAME")
        if not self.server.working.acquire(blocking=False):
            raise errors.ExhaustedError(f"{AT_A_TIME} images are in work; try again in a moment")
        try:
            self._json(200, asdict(self.server.site.answer(names[0], image)))
        finally:
            self.server.working.release()

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "")
        if not text.isdecimal():
            self.close_connection = True
            raise errors.InvalidInputError("expected an image with a Content-Length")
        if int(text) > MAX_IMAGE_BYTES:
            # What is not read would be taken for the next request.
            self.close_connection = True
            raise errors.InvalidInputError(
                f"the image has {int(text):,} bytes, {MAX_IMAGE_BYTES:,} are allowed; send a smaller one"
            )
        return self.rfile.read(int(text))

    def _answer(self, work: Callable[[], None]) -> None:
        try:
            self._check_caller()
            work()
        except errors.BakeoffError as error:
            self._json(next(code for kind, code in STATUS.items() if isinstance(error, kind)), {"error": str(error)})
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except Exception:
            log.exception("%s %s", self.command, self.path)
            self._json(500, {"error": "something went wrong here; the terminal of bakeoff ui says what"})

    def _check_caller(self) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not self.server.knows(host) or (origin is not None and origin != f"http://{host}"):
            self.close_connection = True
            raise errors.InvalidInputError(f"not from here: Host {host!r}, Origin {origin!r}; open {self.server.url}")

    def _json(self, status: int, value: Any) -> None:
        self._send(status, TYPES[".json"], json.dumps(value, ensure_ascii=False).encode())

    def _send(self, status: int, kind: str, body: bytes, policy: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: one person's clicks are no news."""
