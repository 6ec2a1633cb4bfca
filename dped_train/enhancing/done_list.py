"""Which enhanced photos in a folder were made how: `enhanced.jsonl`, a line when one is begun and when it is whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from dped_data.common.files import atomic_write_text
from dped_data.common.work_folder import ForeignFileError
from dped_data.common.written_record import is_ours
from dped_data.photos.files import FileState, file_state, sha256_of_photo

RECORD_NAME = "enhanced.jsonl"
_BEGUN = "begun:"
_FIRST_BYTES = b'{"photo": "'


@dataclass(frozen=True)
class NotedPhoto:
    """What a photo was made from: the sha256 of its bytes, and the state of its file when they were read."""

    sha256: str
    state: FileState


def check_record(folder: Path) -> None:
    """Raise ForeignFileError where the record's name is taken by another file: lines would be added to it."""
    path = folder / RECORD_NAME
    if not os.path.lexists(path):
        return
    data = path.read_bytes()[: len(_FIRST_BYTES)] if path.is_file() and not path.is_symlink() else None
    # A killed run may have begun it, and written nothing or half a line.
    if data != _FIRST_BYTES and not (data is not None and _FIRST_BYTES.startswith(data) and is_ours(path)):
        raise ForeignFileError(f"{path}: is no list of enhanced photos; move it away, or choose another --out")


class EnhanceRecord:
    """The record of one output folder; a line that was cut short by a kill is passed over.

    A line holds `photo`, the output's name; `made`, its key and size; and of the photo that it was made from `sha256`
    and `state`. Lines of earlier versions lack these two: their keys hold the photo's size and time instead.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD_NAME
        self._keys: dict[str, str] = {}
        self._photos: dict[str, NotedPhoto] = {}
        self._lock = Lock()
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._take(line)

    def outputs(self) -> frozenset[str]:
        """The names, relative to the folder, of all that was ever made or begun here."""
        return frozenset(self._keys)

    def photo(self, output: Path, source: Path) -> NotedPhoto:
        """The photo that `output` is to be made from; read only if its file is not in the state noted with `output`.

        Raises:
            PhotoError: it cannot be read, or is no regular file.
        """
        noted = self._photos.get(self._name(output))
        try:
            if noted is not None and noted.state == file_state(source):
                return noted
        except OSError:
            pass  # reading it says what is wrong with it
        return NotedPhoto(*sha256_of_photo(source))

    def notes(self, output: Path, photo: NotedPhoto) -> bool:
        """Whether this state of the photo stands in the record already."""
        return self._photos.get(self._name(output)) == photo

    def holds(self, output: Path, key: str) -> bool:
        """Whether `output` was made with this `key` and is still as long as it was then."""
        return self._keys.get(self._name(output)) == f"{key}:{output.stat().st_size}"

    def finished(self) -> list[Path]:
        """The finished photos that are still as long as they were when they were made."""
        inside = {name: made for name, made in self._keys.items() if ".." not in Path(name).parts}
        sizes = {self.folder / name: made.rpartition(":")[2] for name, made in inside.items()}
        return [path for path, size in sizes.items() if path.is_file() and str(path.stat().st_size) == size]

    def was_begun(self, output: Path, key: str) -> bool:
        """Whether a run that was stopped had begun to make `output` with this `key`."""
        return self._keys.get(self._name(output)) == f"{_BEGUN}{key}"

    def begin(self, output: Path, key: str, photo: NotedPhoto) -> None:
        """Note that `output` is about to be made from `photo` with `key`."""
        self._note(output, f"{_BEGUN}{key}", photo)

    def add(self, output: Path, key: str, photo: NotedPhoto) -> None:
        """Note that `output` has been made from `photo` with `key`."""
        self._note(output, f"{key}:{output.stat().st_size}", photo)

    def _note(self, output: Path, made: str, photo: NotedPhoto) -> None:
        name = self._name(output)
        line = {"photo": name, "made": made, "sha256": photo.sha256, "state": photo.state}
        with self._lock:
            if not self.path.exists():
                atomic_write_text(self.path, "", grows=True)
            self._keys[name], self._photos[name] = made, photo
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" if self._cut_short() else "")
                file.write(json.dumps(line) + "\n")

    def _name(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()

    def _take(self, line: str) -> None:
        try:
            row = json.loads(line)
            name = str(row["photo"])
            self._keys[name] = str(row["made"])
            self._photos.pop(name, None)
            self._photos[name] = NotedPhoto(str(row["sha256"]), tuple(row["state"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return

    def _cut_short(self) -> bool:
        """Whether the file's last line lacks its end."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        return bool(data) and not data.endswith(b"\n")
