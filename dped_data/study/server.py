"""Serve a study to its subjects: the page, the photos, and a place for the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

from dped_data.common.folder_lock import held
from dped_data.common.progress import note
from dped_data.common.token_server import LOOPBACK, Refused, TokenHandler, TokenServer
from dped_data.errors import InputError, PhotoError
from dped_data.photos.files import read_bytes
from dped_data.study.records import ShownQuestion
from dped_data.study.store import AnswerStore
from dped_data.study.study_file import PHOTO_TYPES, PHOTOS_FOLDER, photo_fault, read_study

DEFAULT_PORT = 8710
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    **PHOTO_TYPES,
}
_FOREVER = "private, max-age=31536000, immutable"
"""Photos are named by their bytes, so a name never comes to mean another photo."""
_PAGE = "index.html"
_SUBJECT = re.compile(r"subjects/([0-9a-z]{1,40})")


class StudyServer:
    """A study at an address that outlives the server, since its token is kept beside the answers.

    Nothing that is served tells which class a photo belongs to.

    Attributes:
        address: where to open the study.
        is_local: whether only this machine can reach it.
    """

    def __init__(self, folder: Path, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> None:
        """Open the study, its answers and the port; nothing is answered before `serve`.

        Args:
            folder: the study's folder.
            host: the interface to listen on; anything but loopback lets other machines in.
            port: 0 takes any free one.
        Raises:
            InputError: no study there, answers to another study, or the port cannot be opened.
        """
        read_study(folder)  # where there is none, nothing is made
        self._held = ExitStack()
        self._held.enter_context(held(folder, "study serve"))  # from now on, so that no other study takes its place
        try:
            self._open(folder, host, port)
        except BaseException:
            self._held.close()
            raise

    def _open(self, folder: Path, host: str, port: int) -> None:
        self._folder, self._study = folder, read_study(folder)  # another one may have taken its place until it was held
        self.store = AnswerStore(folder, self._study)
        self._of = {(p.group, p.class_name, p.scene): p for p in self._study.photos}
        self._files = {photo.file for photo in self._study.photos}
        self._assets = _assets()
        owner = self

        class Handler(_Handler):
            study = owner

        self._http = TokenServer(Handler, self.store.token, host, port)
        self.address, self.is_local = self._http.address, self._http.is_local

    def serve(self) -> None:
        """Answer requests until `stop` is called from another thread, or Ctrl-C."""
        with self._held:
            self._http.serve()
            self.store.close()

    def stop(self) -> None:
        """End `serve`."""
        self._http.stop()

    def asset(self, name: str) -> bytes | None:
        """Return a file of the page; None if it has no such file."""
        return self._assets.get(name)

    def photo(self, name: str) -> bytes | None:
        """Return a photo's bytes; None if the study has no such photo."""
        if name not in self._files or photo_fault(self._folder, name) is not None:
            return None
        with suppress(PhotoError):
            return read_bytes(self._folder / PHOTOS_FOLDER / name)
        return None

    def about(self) -> dict[str, Any]:
        """Return what the welcome page says of the study."""
        return {"title": self._study.title, "questions": len(self._study.questions)}

    def start(self) -> dict[str, Any]:
        """Add a subject."""
        return {"subject": self.store.new_subject()}

    def state(self, subject: str) -> dict[str, Any] | None:
        """Return all questions as the subject sees them, with the answers so far; None for an unknown subject."""
        shown = self.store.questions(subject)
        if shown is None:
            return None
        choices = self.store.choices(subject)
        questions = [
            {
                "left": self._described(entry, entry.left),
                "right": self._described(entry, entry.right),
                "answer": _side(entry, choices.get(place)),
            }
            for place, entry in enumerate(shown)
        ]
        return {"questions": questions}

    def answer(self, document: Any) -> dict[str, Any]:
        """Store an answer that the page sent; Refused when it makes no sense or cannot be stored."""
        if not isinstance(document, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "not an answer")
        subject, place, side = document.get("subject"), document.get("question"), document.get("choice")
        shown = self.store.questions(subject) if isinstance(subject, str) else None
        if shown is None or not isinstance(subject, str):
            raise Refused(HTTPStatus.NOT_FOUND, "no such subject")
        if type(place) is not int or not 0 <= place < len(shown):
            raise Refused(HTTPStatus.BAD_REQUEST, "no such question")
        if side not in ("left", "right"):
            raise Refused(HTTPStatus.BAD_REQUEST, "choose left or right")
        entry = shown[place]
        self.store.answer(subject, place, entry, entry.left if side == "left" else entry.right)
        return {"question": place, "answer": side}

    def _described(self, entry: ShownQuestion, class_name: str) -> dict[str, Any]:
        photo = self._of[entry.question.group, class_name, entry.question.scene]
        return {"photo": f"photos/{photo.file}", "width": photo.width_px, "height": photo.height_px}


def _side(entry: ShownQuestion, chosen: str | None) -> str | None:
    return None if chosen is None else ("left" if chosen == entry.left else "right")


def open_host_warning(address: str) -> str:
    """Return what must be known before a study is opened to other machines."""
    return (
        f"dped: warning: other machines can reach this study. Whoever has the address {address} can take part, and "
        "nothing is encrypted on the way; use it only in a network that you trust"
    )


class _Handler(TokenHandler):
    study: StudyServer

    def get(self, name: str) -> None:
        subject = _SUBJECT.fullmatch(name)
        if subject:
            with _storage():
                state = self.study.state(subject[1])
            if state is None:
                raise Refused(HTTPStatus.NOT_FOUND, "no such subject")
            self.send_json(state)
        elif name == "study":
            self.send_json(self.study.about())
        elif name.startswith("photos/"):
            photo = name.removeprefix("photos/")
            self._send_file(photo, self.study.photo(photo), _FOREVER)
        else:
            self._send_file(name or _PAGE, self.study.asset(name or _PAGE), "no-cache")

    def post(self, name: str, document: Any) -> None:
        if name not in ("subjects", "answers"):
            raise Refused(HTTPStatus.NOT_FOUND, "not part of this study")
        with _storage():
            answer = self.study.start() if name == "subjects" else self.study.answer(document)
        self.send_json(answer)

    def _send_file(self, name: str, data: bytes | None, cache: str) -> None:
        if data is None:
            raise Refused(HTTPStatus.NOT_FOUND, "not part of this study")
        self.send(_TYPES[Path(name).suffix], data, cache)


@contextmanager
def _storage() -> Iterator[None]:
    """Tell the subject that nothing was stored, and the person at the terminal why."""
    try:
        yield
    except InputError as error:
        note(str(error))
        words = "answers cannot be stored now; please tell the person who runs this study"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, words) from None


def _assets() -> dict[str, bytes]:
    own, shared = resources.files("dped_data.study") / "assets", resources.files("dped_data.common") / "viewer"
    found = [*own.iterdir(), *shared.iterdir()]
    return {file.name: file.read_bytes() for file in found if Path(file.name).suffix in _TYPES}
