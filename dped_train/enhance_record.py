"""Which enhanced photos in a folder were made how: `enhanced.jsonl`, a line when one is begun and when it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock

RECORD_NAME = "enhanced.jsonl"
_BEGUN = "begun:"


class EnhanceRecord:
    """The record of one output folder; a line that was cut short by a kill is passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD_NAME
        self._keys: dict[str, str] = {}
        self._lock = Lock()
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._take(line)

    def holds(self, output: Path, key: str) -> bool:
        """Whether `output` was made with this `key` and is still as long as it was then."""
        return self._keys.get(self._name(output)) == f"{key}:{output.stat().st_size}"

    def outputs(self) -> list[Path]:
        """The finished photos that are still as long as they were when they were made."""
        sizes = {self.folder / name: made.rpartition(":")[2] for name, made in self._keys.items()}
        return [path for path, size in sizes.items() if path.is_file() and str(path.stat().st_size) == size]

    def was_begun(self, output: Path, key: str) -> bool:
        """Whether a run that was stopped had begun to make `output` with this `key`."""
        return self._keys.get(self._name(output)) == f"{_BEGUN}{key}"

    def begin(self, output: Path, key: str) -> None:
        """Note that `output` is about to be made with `key`."""
        self._note(output, f"{_BEGUN}{key}")

    def add(self, output: Path, key: str) -> None:
        """Note that `output` has been made with `key`."""
        self._note(output, f"{key}:{output.stat().st_size}")

    def _note(self, output: Path, made: str) -> None:
        name = self._name(output)
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            self._keys[name] = made
            file.write("\n" if self._cut_short() else "")
            file.write(json.dumps({"photo": name, "made": made}) + "\n")

    def _name(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()

    def _take(self, line: str) -> None:
        try:
            row = json.loads(line)
            self._keys[str(row["photo"])] = str(row["made"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return

    def _cut_short(self) -> bool:
        """Whether the file's last line lacks its end."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        return bool(data) and not data.endswith(b"\n")
