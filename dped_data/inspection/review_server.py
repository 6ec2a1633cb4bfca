"""Serve the report on this machine only, and save a person's decisions as they are made."""

from __future__ import annotations

import hmac
import json
import mimetypes
import secrets
import threading
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dped_data.errors import InputError
from dped_data.inspection.capture_page import CAPTURES_FOLDER
from dped_data.inspection.page import PAGE_NAME
from dped_data.inspection.report import InspectReport
from dped_data.review_file import VERDICTS, Decision, append_decision, one_line, read_decisions

REVIEW_NAME = "review.csv"
_HOST = "127.0.0.1"
_JSON = "application/json"
_LONGEST_BODY = 64 * 1024
_SERVED_FOLDERS = ("assets", "data", CAPTURES_FOLDER)
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ReviewServer:
    """The report of one dataset on 127.0.0.1, at a random free port and below a random token.

    A request is answered only when its address holds the token and its Host header names this server (so that no
    web page reaches it through a name of its own), decisions only when they come from the report's own pages.

    Attributes:
        address: where to open the report.
        review: the file that decisions are added to.
    """

    def __init__(self, report: InspectReport, out: Path, review: Path | None = None) -> None:
        """Open the port; nothing is answered before `serve`.

        Args:
            report: the report that lies in `out`.
            out: the report's folder.
            review: the file to add decisions to, read first if it exists; None means review.csv in `out`.
        Raises:
            InputError: `review` exists and is no review file, or its folder does not.
        """
        review = review or out / REVIEW_NAME
        if not review.parent.is_dir():
            raise InputError(f"{review.parent}: no such folder; name a review file in a folder that exists")
        self.review = review
        self._decisions = read_decisions(review) if review.exists() else []
        self._lock = threading.Lock()
        self._out, self._photos = out.resolve(), Path(report.photos).resolve() if report.photos else None
        self._ids = {capture.capture_id for capture in report.captures}
        self._files = {name for c in report.captures for name in (c.phone_file, c.dslr_file) if name}
        self._token = secrets.token_urlsafe(24)
        server = self

        class Handler(_Handler):
            owner = server

        self._http = ThreadingHTTPServer((_HOST, 0), Handler)
        self._http.daemon_threads = True
        self.authority = f"{_HOST}:{self._http.server_address[1]}"
        self.address = f"http://{self.authority}/{self._token}/"

    def serve(self) -> None:
        """Answer requests until `stop` is called from another thread, or Ctrl-C."""
        with suppress(KeyboardInterrupt), self._http:
            self._http.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """End `serve`."""
        self._http.shutdown()

    def below_token(self, path: str) -> str | None:
        """Return the part of a request's path that follows the token; None when the token is wrong."""
        token, _, rest = urlsplit(path).path.removeprefix("/").partition("/")
        return unquote(rest) if hmac.compare_digest(token.encode(), self._token.encode()) else None

    def file_of(self, name: str) -> Path | None:
        """Return the file that a path below the token means; None for everything that is not part of the report."""
        if name.startswith("photos/"):
            photo = name.removeprefix("photos/")
            return self._photos / photo if self._photos is not None and photo in self._files else None
        if name in ("", PAGE_NAME):
            return self._out / PAGE_NAME
        if name.partition("/")[0] not in _SERVED_FOLDERS or "\\" in name:
            return None
        path = (self._out / name).resolve()
        return path if path.is_relative_to(self._out) and path.is_file() else None

    def decisions(self) -> list[dict[str, str]]:
        """Return all decisions, oldest first."""
        with self._lock:
            return [asdict(decision) for decision in self._decisions]

    def decide(self, document: Any) -> dict[str, str]:
        """Save a decision that the page sent and return it; InputError when it makes no sense or cannot be saved."""
        if not isinstance(document, dict) or document.get("capture_id") not in self._ids:
            raise InputError("no such capture in this report")
        verdict, note = document.get("verdict"), document.get("note", "")
        if verdict not in VERDICTS or not isinstance(note, str):
            raise InputError(f"verdict must be one of {', '.join(VERDICTS)}, note must be text")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        decision = Decision(now, document["capture_id"], verdict, one_line(note))
        with self._lock:
            try:
                append_decision(self.review, decision)
            except OSError as error:
                raise InputError(f"{self.review}: cannot be written ({error.strerror})") from None
            self._decisions.append(decision)
        return asdict(decision)


class _Handler(BaseHTTPRequestHandler):
    owner: ReviewServer
    server_version, sys_version = "dped", ""
    timeout = 30

    def do_GET(self) -> None:
        name = self._name()
        if name is None:
            return
        if name == "review":
            self._send_json(self.owner.decisions())
            return
        path = self.owner.file_of(name)
        try:
            data = path.read_bytes() if path is not None else None
        except OSError:
            data = None
        if path is None or data is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"not part of this report")
            return
        self._send(HTTPStatus.OK, _content_type(path), data)

    def do_POST(self) -> None:
        name = self._name()
        if name is None:
            return
        length = self.headers.get("Content-Length", "")
        foreign = self.headers.get("Origin", f"http://{self.owner.authority}") != f"http://{self.owner.authority}"
        if name != "review" or foreign or self.headers.get_content_type() != _JSON:
            self._send(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", b"not from this report")
            return
        if not (length.isascii() and length.isdigit()) or int(length) > _LONGEST_BODY:
            self._send(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", b"no decision, or too long")
            return
        try:
            self._send_json(self.owner.decide(json.loads(self.rfile.read(int(length)))))
        except (ValueError, RecursionError):
            self._send(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", b"not JSON")
        except InputError as error:
            self._send(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", str(error).encode())

    def _name(self) -> str | None:
        """The path below the token; None after a refusal has been sent."""
        name = self.owner.below_token(self.path)
        if name is None or self.headers.get("Host") != self.owner.authority:
            self.close_connection = True
            self._send(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", b"open the address that the terminal shows")
            return None
        return name

    def _send_json(self, document: Any) -> None:
        self._send(HTTPStatus.OK, _JSON, json.dumps(document).encode())

    def _send(self, status: HTTPStatus, content_type: str, data: bytes) -> None:
        self.send_response(status)
        # Files may be kept: another report has another token, hence other addresses.
        cache = "no-store" if content_type == _JSON else "private, max-age=3600"
        own = {"Content-Type": content_type, "Content-Length": str(len(data)), "Cache-Control": cache}
        for key, value in {**_HEADERS, **own}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal shows the address and errors only."""


def _content_type(path: Path) -> str:
    known = {
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
    }
    return known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
