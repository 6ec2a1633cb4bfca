"""A process that has imported everything and forks one `dped` command after another, each with a planned fault.

Forking saves the seconds that a fresh interpreter needs to import torch, OpenCV and numba, so that hundreds of commands
can be killed in a minute. What the tests rely on:
- A *point* is a moment at which a command is about to change its output: a file opened for writing, a rename, a
  removal, a new folder, an fsync, the middle of a file's bytes, a column of a shard. Points are counted, so that a
  fault can be planned for any of them and meets it every time.
- Workers run inside the command's own process (their death has its own tests), and the alignment of a pair of photos is
  remembered between commands, since it is a pure function of the pixels.

Speaks JSON, one line each way: {"start": {...}} -> {"pid": n}; {"wait": n} -> {"status": n, "points": n}.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

LIMIT_S = 600  # only ends what hangs: a busy machine takes many times as long as an idle one
NOBODY = 65534
_WRITES = os.O_WRONLY | os.O_RDWR
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate")


class Faults:
    """An audit hook that lets one command meet its fault; counts the points below `root`."""

    def __init__(self, root: str, plan: dict[str, Any], tally: Path) -> None:
        self.root, self.plan, self.tally = root, plan, tally
        self.points = self.reads = 0
        self.local = threading.local()  # what the hook itself opens is no point

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(self.local, "inside", False):
            return
        self.local.inside = True
        try:
            if event == "open":
                self._opened(*arguments)
            elif event == "dped.point" or (event in _CHANGES and self._inside(arguments[0])):
                self._point(arguments[0])
        finally:
            self.local.inside = False

    def _inside(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root)

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        if flags & _WRITES and self._inside(path):
            self._point(path)
        elif self.plan.get("file") and isinstance(path, str | os.PathLike) and os.fspath(path) == self.plan["file"]:
            self._read(path)

    def _point(self, path: Any) -> None:
        self.points += 1
        self.tally.write_text(str(self.points))
        at, kind = self.plan.get("at", 0), self.plan.get("kind")
        if kind == "full" and self.points >= at:
            raise OSError(self.plan["errno"], os.strerror(self.plan["errno"]), os.fspath(path))
        if self.points != at:
            return
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "interrupt":
            signal.raise_signal(signal.SIGINT)
        elif kind == "error":
            raise OSError(self.plan["errno"], os.strerror(self.plan["errno"]), os.fspath(path))
        elif kind == "pause":
            while not Path(self.plan["until"]).exists():
                time.sleep(0.005)

    def _read(self, path: Any) -> None:
        self.reads += 1
        kind = self.plan["kind"]
        if kind == "unreadable":
            raise OSError(self.plan["errno"], os.strerror(self.plan["errno"]), os.fspath(path))
        if self.reads != self.plan["at"]:
            return
        if kind == "vanish":
            Path(path).rename(self.plan["to"])
        elif kind == "replace":
            Path(self.plan["by"]).replace(path)


class NoPool:
    """Stands in for worker_pool._executor."""

    def __call__(self, count: int) -> None:
        return None


def prepare() -> None:
    """Import what the commands import, and place the points that no audit event marks."""
    import cv2
    import torch
    import torch._dynamo
    import torch.utils.tensorboard
    from remembered_alignment import remembered_align_photos

    import cli  # noqa: F401
    import dped_data.align.pipeline
    import dped_data.align.warped_photo
    import dped_data.build
    import dped_data.captures.report
    import dped_data.common.worker_pool
    import dped_data.dataset.shards
    import dped_data.dataset.summary
    import dped_data.inspection
    import dped_data.photos.reading
    import dped_data.released
    import dped_train.enhancing.photos
    import dped_train.train  # noqa: F401

    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have what they start in the background ignore it
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    dped_data.common.worker_pool._executor = NoPool()  # type: ignore[assignment]
    dped_data.align.pipeline.align_photos = remembered_align_photos()
    _point_before(dped_data.dataset.shards, "_write_column")
    os.fsync = _fsync
    Path.write_bytes = _torn_write_bytes  # type: ignore[method-assign,assignment]


def _point_before(module: Any, name: str) -> None:
    function = getattr(module, name)

    def pointed(*arguments: Any, **named: Any) -> Any:
        sys.audit("dped.point", "")
        return function(*arguments, **named)

    setattr(module, name, pointed)


def _fsync(descriptor: int) -> None:
    """A point; nothing is synced, since a killed process loses nothing that it has written."""
    sys.audit("dped.point", "")


def _torn_write_bytes(path: Path, data: bytes) -> int:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        sys.audit("dped.point", str(path))
        file.write(data[len(data) // 2 :])
    return len(data)


def start(request: dict[str, Any]) -> int:
    """Fork a command; return its process id."""
    gc.freeze()  # what is there already is no garbage of the command's, and looking through it would copy its memory
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        status = _run(request)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(request: dict[str, Any]) -> int:
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.alarm(LIMIT_S)
    plan = request.get("plan", {})
    if plan.get("kind") == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["bytes"], plan["bytes"]))
    else:
        faults = Faults(request["root"], plan, Path(request["tally"]))
        sys.addaudithook(faults.hook)
    if request.get("nobody") and os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    import cli

    sys.argv = ["dped", *request["command"]]
    cli.main()
    return 0


def serve() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    prepare()
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answers.write(json.dumps({"pid": start(request["start"])}) + "\n")
        elif "warm" in request:  # run it here, so that all later commands inherit what it has compiled and remembered
            _warm(request["warm"])
            answers.write("{}\n")
        else:
            _, status = os.waitpid(request["wait"], 0)
            answers.write(json.dumps({"status": os.waitstatus_to_exitcode(status)}) + "\n")


def _warm(command: list[str]) -> None:
    import cli

    cli.dped.main(command, standalone_mode=False)


if __name__ == "__main__":
    serve()
