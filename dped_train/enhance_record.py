"""Which enhanced photos in a folder were made how: `enhanced.jsonl`, one line for each, added when it is whole."""

from __future__ import annotations

import json
from pathlib import Path

RECORD_NAME = "enhanced.jsonl"


class EnhanceRecord:
    """The record of one output folder; a line that was cut short by a kill is passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD_NAME
        self._keys: dict[str, str] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._take(line)

    def holds(self, output: Path, key: str) -> bool:
        """Whether `output` was made with this `key` and is still as long as it was then."""
        return self._keys.get(self._name(output)) == f"{key}:{output.stat().st_size}"

    def add(self, output: Path, key: str) -> None:
        """Note that `output` has been made with `key`."""
        name, made = self._name(output), f"{key}:{output.stat().st_size}"
        self._keys[name] = made
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" if self._cut_short() else "")
            file.write(json.dumps({"photo": name, "made": made}) + "\n")

    def _name(self, output: Path) -> str:
        return output.relative_to(self.folder).as_posix()

    def _take(self, line: str) -> None:
        try:
            row = json.loads(line)
            self._keys[str(row["photo"])] = str(row["made"])
        except (json.JSONDecodeError, TypeError, KeyError):
            return

    def _cut_short(self) -> bool:
        """Whether the file's last line lacks its end."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        return bool(data) and not data.endswith(b"\n")
