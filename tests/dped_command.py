"""The command line as a process has it, without a process: its words, its folder, all it prints, its exit status."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest


def dped(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, where what it imports is there already; builds of it need no workers.

    What any library writes to the descriptors of stdout and stderr is caught as well. An exception that a process would
    end with is raised.
    """
    import cli

    with _caught("stdout") as out, _caught("stderr") as err, _as_a_process_has_it(["dped", *words], cwd):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return subprocess.CompletedProcess(words, ended.value.code, _text(out, sys.stdout), _text(err, sys.stderr))


@contextmanager
def _as_a_process_has_it(words: list[str], cwd: Path) -> Iterator[None]:
    from dped_data.common import worker_pool

    before, folder, executor = sys.argv, Path.cwd(), worker_pool._executor
    environment, handler = dict(os.environ), signal.getsignal(signal.SIGINT)
    sys.argv, worker_pool._executor = words, _no_workers  # type: ignore[assignment]
    os.chdir(cwd)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.argv, worker_pool._executor = before, executor
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGINT, handler)


def _no_workers(count: int) -> None:
    """As on a machine without shared memory."""


@contextmanager
def _caught(name: str) -> Iterator[IO[bytes]]:
    """A file that takes what is written to the stream and to its descriptor."""
    number = {"stdout": 1, "stderr": 2}[name]
    before, kept = getattr(sys, name), os.dup(number)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), number)
        stream = io.TextIOWrapper(os.fdopen(os.dup(number), "wb"), encoding="utf-8", errors=before.errors)
        setattr(sys, name, stream)
        try:
            yield file
        finally:
            setattr(sys, name, before)
            stream.close()
            os.dup2(kept, number)
            os.close(kept)


def _text(file: IO[bytes], stream: IO[str]) -> str:
    stream.flush()
    file.seek(0)
    return file.read().decode()
