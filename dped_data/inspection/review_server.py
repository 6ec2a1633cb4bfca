"""Serve the report on this machine only, and save a person's decisions as they are made."""

from __future__ import annotations

import mimetypes
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any

from dped_data.common.folder_lock import held
from dped_data.common.token_server import Refused, TokenHandler, TokenServer, new_token
from dped_data.dataset.places import REVIEW_NAME
from dped_data.dataset.review_file import VERDICTS, Decision, append_decision, one_line, read_decisions
from dped_data.errors import InputError, PhotoError
from dped_data.inspection.capture_page import CAPTURES_FOLDER
from dped_data.inspection.page import PAGE_NAME
from dped_data.inspection.report import InspectReport
from dped_data.photos.files import FileState, file_state, read_bytes
from dped_data.photos.formats import PHOTO_SUFFIXES

_SERVED_FOLDERS = ("assets", "data", CAPTURES_FOLDER)
_AN_HOUR = "private, max-age=3600"
"""Files may be kept: another report has another token, hence other addresses."""


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
        if review.is_symlink():
            raise InputError(f"{review}: is a link, which is not written to; name the file itself")
        self._kept = report.review
        self._decisions = [*self._kept, *(read_decisions(review) if review.exists() else [])]
        self._seen = _state(review)
        self._lock = threading.Lock()
        self._out, self._photos = out.resolve(), Path(report.photos).resolve() if report.photos else None
        self._ids = {capture.capture_id for capture in report.captures}
        self._files = {name for c in report.captures for name in (c.phone_file, c.dslr_file) if _is_photo(name)}
        server = self

        class Handler(_Handler):
            owner = server

        self._http = TokenServer(Handler, new_token())
        self.address = self._http.address

    def serve(self) -> None:
        """Answer requests until `stop` is called from another thread, or Ctrl-C; the report is held meanwhile."""
        with held(self._out, "inspect-pairs --review"):
            self._http.serve()

    def stop(self) -> None:
        """End `serve`."""
        self._http.stop()

    def file_of(self, name: str) -> Path | None:
        """Return the file that a path below the token means; None for everything that is not part of the report."""
        if name.startswith("photos/"):
            photo = name.removeprefix("photos/")
            return self._photos / photo if self._photos is not None and photo in self._files else None
        if name in ("", PAGE_NAME):
            return self._out / PAGE_NAME
        if name.partition("/")[0] not in _SERVED_FOLDERS or "\\" in name or "\0" in name:
            return None
        path = (self._out / name).resolve()
        return path if path.is_relative_to(self._out) and path.is_file() else None

    def decisions(self) -> list[dict[str, str]]:
        """Return all decisions, oldest first."""
        with self._lock:
            return [asdict(decision) for decision in self._decisions]

    def decide(self, document: Any) -> dict[str, str]:
        """Save a decision that the page sent and return it; InputError when it makes no sense or cannot be saved."""
        capture_id = document.get("capture_id") if isinstance(document, dict) else None
        if not isinstance(capture_id, str) or capture_id not in self._ids:
            raise InputError("no such capture in this report")
        verdict, note = document.get("verdict"), document.get("note", "")
        if verdict not in VERDICTS or not isinstance(note, str):
            raise InputError(f"verdict must be one of {', '.join(VERDICTS)}, note must be text")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        decision = Decision(now, capture_id, verdict, one_line(note))
        with self._lock:
            self._look_again()
            try:
                append_decision(self.review, decision)
            except OSError as error:
                raise InputError(f"{self.review}: cannot be written ({error.strerror})") from None
            self._decisions.append(decision)
            self._seen = _state(self.review)
        return asdict(decision)

    def _look_again(self) -> None:
        """Take over what somebody has changed in the review meanwhile; InputError where it is gone or none any more."""
        state = _state(self.review)
        if state == self._seen:
            return
        if state is None:
            raise InputError(f"{self.review}: was removed while the report is served; restore it, or start again")
        self._decisions, self._seen = [*self._kept, *read_decisions(self.review)], state


def _state(path: Path) -> FileState | None:
    try:
        return file_state(path)
    except OSError:
        return None


def _is_photo(name: str) -> bool:
    """Whether a name is that of a photo inside its folder: a dataset may come from anybody, and name anything."""
    path = PurePosixPath(name)
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.is_absolute() and ".." not in path.parts


class _Handler(TokenHandler):
    owner: ReviewServer

    def get(self, name: str) -> None:
        if name == "review":
            self.send_json(self.owner.decisions())
            return
        path = self.owner.file_of(name)
        try:
            data = read_bytes(path) if path is not None else None
        except PhotoError:
            data = None
        if path is None or data is None:
            raise Refused(HTTPStatus.NOT_FOUND, "not part of this report")
        self.send(_content_type(path), data, _AN_HOUR)

    def post(self, name: str, document: Any) -> None:
        if name != "review":
            raise Refused(HTTPStatus.NOT_FOUND, "not part of this report")
        try:
            decision = self.owner.decide(document)
        except InputError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        self.send_json(decision)


def _content_type(path: Path) -> str:
    known = {
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
    }
    return known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
