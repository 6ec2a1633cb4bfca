"""Commands that meet faults, what their outputs must look like at any moment, and the count of what was survived."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_TIMES = {"seconds", "waited_s"}
_OWN_TIMES = ("captures.csv", "metrics.csv")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit status (-9: killed), what it printed, and the points that it reached."""

    status: int
    text: str
    points: int


class FaultServer:
    """The process that forks commands (fault_server.py); a context manager."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fault_server.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=scratch,
        )
        self._started = 0

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def warm(self, command: Sequence[str]) -> None:
        """Run a command in the server, so that later ones inherit what it has compiled and remembered."""
        self._ask({"warm": [*command]})

    def start(self, command: Sequence[str], root: Path, plan: dict[str, Any] | None = None, **more: Any) -> int:
        """Start a command whose points are the changes below `root`; return its process id."""
        self._started += 1
        tally = self.scratch / "tally"  # begins anew: what an earlier command reached says nothing of this one
        tally.write_text("0")
        tally.chmod(0o666)
        places = {"output": str(self.scratch / f"{self._started}.txt"), "tally": str(tally)}
        request = {"command": [*command], "root": str(root), "plan": plan or {}, **places, **more}
        pid = int(self._ask({"start": request})["pid"])
        self._output = Path(places["output"])
        return pid

    def wait(self, pid: int) -> int:
        """Wait for a command to end; return its exit status."""
        return int(self._ask({"wait": pid})["status"])

    def run(self, command: Sequence[str], root: Path, plan: dict[str, Any] | None = None, **more: Any) -> Outcome:
        """Run a command to its end."""
        status = self.wait(self.start(command, root, plan, **more))
        text = self._output.read_text(errors="replace")
        self._output.unlink()
        return Outcome(status, text, self.reached())

    def reached(self) -> int:
        """The points that the command started last has reached so far."""
        return int((self.scratch / "tally").read_text() or 0)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the fault server has died ({self._process.poll()})"
        return dict(json.loads(answer))


@dataclass(frozen=True)
class Job:
    """A command and its output.

    Attributes:
        name: for messages.
        command: words after `dped`; OUT stands for the output folder.
        partial: whether a visible file that is not the finished one is in order while the command has not finished.
        done: what a repeated command says when there is nothing left to do, if that is an error.
        most_lines: that it may print about what went wrong.
        folder: that it fills, below OUT.
        beside_strangers: its status in a folder with strangers' files of other names than its own.
        overwrites: whether it takes --overwrite.
        holds: whether it holds its folder from beginning to end; else it writes single files, each at once.
        most_names: of its files that strangers' files take the names of; fewer for what is made of other commands.
    """

    name: str
    command: tuple[str, ...]
    partial: Callable[[Path, str, bytes], bool] = field(default=lambda out, name, data: False)
    done: str = ""
    most_lines: int = 1
    folder: str = ""
    beside_strangers: int = 0
    overwrites: bool = False
    holds: bool = True
    most_names: int = 7

    def words(self, out: Path) -> list[str]:
        """The command for an output folder."""
        return [word.replace("OUT", str(out)) for word in self.command]


@dataclass
class Tally:
    """What the suite has done."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    bytes_compared: int = 0

    def facts(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"injected": dict(self.injected), "survived": dict(self.survived), "bytes": self.bytes_compared}


def visible(out: Path) -> dict[str, bytes]:
    """Every file below `out` that is no temporary, lock or note of the program, with times it took left out."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if path.is_file() and not path.parent.is_symlink() and not hidden and not name.count("tensorboard/"):
            found[name] = _plain(path.name, path.read_bytes())
    return found


def _plain(name: str, data: bytes) -> bytes:
    if name == "enhanced.jsonl":
        lines = [line for line in data.decode().splitlines(keepends=True) if line.endswith("}\n")]
        return "".join(sorted({line for line in lines if "begun" not in line})).encode()
    if name.endswith(".safetensors"):  # its header lists the text fields in any order
        size = int.from_bytes(data[:8], "little")
        return json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True).encode() + data[8 + size :]
    if name not in _OWN_TIMES:
        return data
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    kept = [[value for key, value in row.items() if key not in _TIMES] for row in rows]
    return json.dumps(kept).encode()


def leftovers(out: Path) -> list[str]:
    """Temporary files and folders of killed writers."""
    return [path.relative_to(out).as_posix() for path in out.rglob(".tmp-*")]


class Trial:
    """One job under test: its undisturbed output, and runs with faults that must end in the same bytes."""

    def __init__(self, server: FaultServer, job: Job, scratch: Path) -> None:
        self.server, self.job, self.scratch, self.tally = server, job, scratch, Tally()
        out = self.fresh()
        ended = server.run(job.words(out), out)
        assert ended.status in (0, 1) and "Traceback" not in ended.text, ended.text
        self.status, self.points, self.expected = ended.status, ended.points, visible(out)
        self.shards = {data for name, data in self.expected.items() if name.endswith(".h5")}
        assert self.expected and not leftovers(out)

    def fresh(self) -> Path:
        """An empty output folder."""
        out = self.scratch / f"{self.job.name}-out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        return out

    def disturb(self, out: Path, plan: dict[str, Any], **more: Any) -> Outcome:
        """Run the job with a fault; nothing half may be seen afterwards."""
        outcome = self.server.run(self.job.words(out), out, plan, **more)
        self.tally.injected[plan["kind"]] += 1
        own_words = "Exception ignored in: 'h5py" in outcome.text  # HDF5's library may say more than we do
        assert "Traceback" not in outcome.text or own_words, (plan, outcome.text)
        assert outcome.text.count("dped: ") <= self.job.most_lines, outcome.text
        self.check_nothing_half(out, plan)
        return outcome

    def check_nothing_half(self, out: Path, plan: Any) -> None:
        """Whatever can be seen in the output is as it is in an undisturbed one."""
        for name, data in visible(out).items():
            ok = self.expected.get(name) == data or self.job.partial(out, name, data)
            assert ok, f"{self.job.name}, {plan}: {name} is half ({len(data)} bytes)"
        for shard in out.rglob(".unit-*.h5"):
            assert shard.read_bytes() in self.shards, f"{plan}: {shard.name} is half"
        for record in out.rglob(".build/*.json"):
            if not record.name.startswith(".tmp-"):
                json.loads(record.read_text())

    def finish(self, out: Path, plan: dict[str, Any]) -> None:
        """The same command, undisturbed, ends in the same bytes and leaves nothing behind."""
        ended = self.server.run(self.job.words(out), out)
        finished_before = bool(self.job.done) and self.job.done in ended.text
        assert ended.status == self.status or finished_before, (plan, ended.text)
        found = visible(out)
        assert found.keys() == self.expected.keys(), (plan, found.keys() ^ self.expected.keys())
        for name, data in found.items():
            assert data == self.expected[name], f"{self.job.name}, {plan}: {name} differs"
            self.tally.bytes_compared += len(data)
        assert not leftovers(out), (plan, leftovers(out))
        self.tally.survived[plan["kind"]] += 1


def sample(trial: Trial, count: int, seed: int = 7) -> list[int]:
    """Points spread over the whole command, the first and the last among them."""
    points = range(2, trial.points)
    return sorted({1, trial.points, *random.Random(seed).sample(points, min(count - 2, len(points)))})  # noqa: S311
