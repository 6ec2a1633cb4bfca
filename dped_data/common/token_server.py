"""A small web server for pages that only invited people may open: below a token, under known names."""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
import socketserver
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import unquote

from dped_data.errors import InputError

LOOPBACK = "127.0.0.1"
_LONGEST_BODY = 64 * 1024
_DRAINED = 4 * 1024 * 1024
"""Bytes of a refused body that are read away, so that the sender sees the refusal instead of a broken connection."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


def new_token() -> str:
    """Return a token that nobody guesses (192 bits), fit for an address."""
    return secrets.token_urlsafe(24)


class Refused(Exception):  # noqa: N818 - an answer to a request, not an error of the program
    """A request that is not served, raised as Refused(status, one line for the person)."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(status, words)
        self.status, self.words = status, words


class TokenServer(ThreadingHTTPServer):
    """Answers requests whose address holds the token and whose Host header names this server, one thread each.

    The Host header keeps other web pages away that reach the server through a name of their own (DNS rebinding):
    on loopback only that address and localhost are taken, on other interfaces also numeric addresses and this
    machine's own name.

    Attributes:
        address: where to open the page.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[TokenHandler], token: str, host: str = LOOPBACK, port: int = 0) -> None:
        """Open the port (0: any free one); nothing is answered before `serve`. InputError if it cannot be opened."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._token, self._host = token, host
        try:
            super().__init__((host, port), handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"port {port} on {host} cannot be opened ({reason}); end the server that runs there, "
                "or choose another port"
            ) from None
        self.port = int(self.server_address[1])
        self.address = f"http://{_bracketed(_reachable(host))}:{self.port}/{token}/"

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which may take long where there is no network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self._host, self.server_address[1]

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self._host)

    def serve(self) -> None:
        """Answer requests until `stop` is called from another thread, or Ctrl-C."""
        with suppress(KeyboardInterrupt), self:
            self.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """End `serve`."""
        self.shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away; a fault of the program is shown as always."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def knows(self, authority: str) -> bool:
        """Tell whether a Host header means this server."""
        name, separator, port = authority.rpartition(":")
        if not separator or port != str(self.port):
            return False
        name = name.lower().removeprefix("[").removesuffix("]")
        if name in (self._host.lower(), "localhost"):  # nobody can make this name point elsewhere
            return True
        if self.is_local:
            return False
        with suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        own = socket.gethostname().lower()
        return name in (own, f"{own.partition('.')[0]}.local")

    def below_token(self, path: str) -> str | None:
        """Return the part of a request's path that follows the token; None when the token is wrong."""
        token, _, rest = path.partition("?")[0].partition("#")[0].removeprefix("/").partition("/")
        return unquote(rest) if hmac.compare_digest(token.encode(), self._token.encode()) else None


class TokenHandler(BaseHTTPRequestHandler):
    """Admits or refuses a request; a subclass answers it by `get` and `post`, which may raise Refused."""

    server_version, sys_version = "dped", ""
    timeout = 30
    _unread = 0

    def get(self, name: str) -> None:
        """Answer GET of a path below the token."""
        raise NotImplementedError

    def post(self, name: str, document: Any) -> None:
        """Answer POST of a JSON document to a path below the token."""
        raise NotImplementedError

    def do_GET(self) -> None:
        try:
            self.get(self._admitted())
        except Refused as refusal:
            self._refuse(refusal.status, refusal.words)

    def do_POST(self) -> None:
        try:
            length = self._body_length()
            name = self._admitted()
            if self.headers.get_content_type() != _JSON:
                raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON")
            self.post(name, self._document(length))
        except Refused as refusal:
            self._refuse(refusal.status, refusal.words)

    def send(self, content_type: str, data: bytes, cache: str = "no-store") -> None:
        """Answer with status 200."""
        self._send(HTTPStatus.OK, content_type, data, cache)

    def send_json(self, document: Any) -> None:
        """Answer with status 200 and a JSON document that no browser keeps."""
        self.send(_JSON, json.dumps(document).encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no proper request, always with a 4xx: the fault is the sender's."""
        status = HTTPStatus(code)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            unknown_method = status == HTTPStatus.NOT_IMPLEMENTED
            status = HTTPStatus.METHOD_NOT_ALLOWED if unknown_method else HTTPStatus.BAD_REQUEST
        self._refuse(status, status.phrase)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal shows the address and errors only."""

    def _admitted(self) -> str:
        """The path below the token."""
        server = cast("TokenServer", self.server)
        name = server.below_token(self.path)
        authority = self.headers.get("Host", "")
        own_page = self.headers.get("Origin", f"http://{authority}") == f"http://{authority}"
        if name is None or not own_page or not server.knows(authority):
            raise Refused(HTTPStatus.FORBIDDEN, "open the address that the terminal shows")
        return name

    def _body_length(self) -> int:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say how long the document is")
        self._unread = int(length)
        return self._unread

    def _document(self, length: int) -> Any:
        if length > _LONGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        self._unread = 0
        try:
            document = json.loads(self.rfile.read(length))
            json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be stored
            return document
        except (ValueError, RecursionError):
            raise Refused(HTTPStatus.BAD_REQUEST, "not JSON") from None

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        self.close_connection = True
        if 0 < self._unread <= _DRAINED:
            self.rfile.read(self._unread)
        self._send(status, _TEXT, words.encode())

    def _send(self, status: HTTPStatus, content_type: str, data: bytes, cache: str = "no-store") -> None:
        self.send_response(status)
        own = {"Content-Type": content_type, "Content-Length": str(len(data)), "Cache-Control": cache}
        for key, value in {**_HEADERS, **own}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reachable(host: str) -> str:
    """What to type in a browser: for "every interface", the address by which this machine is seen outside."""
    if host not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not opened
        return host
    family, elsewhere = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((elsewhere, 9))  # datagrams: nothing is sent, the system only chooses the interface
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
