"""Ctrl-C ends a command with one line and a status of its own, whenever it comes.

The first one is raised as KeyboardInterrupt, so that what is half done is cleaned up. The second ends the process where
it stands, and so does the first when the cleaning takes long, or before and after a command. Nothing is lost either
way: a command that was killed goes on, too.

Imported first of all, so that little passes before it: with what Python has loaded when it starts, and nothing else.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TypeVar

R = TypeVar("R")

STATUS = 130
"""The exit status of shells for what Ctrl-C ended: 128 and the signal's number."""
_LINE = "dped: interrupted; run the same command again"
_CLEANING_S = 3.0
"""Ours: how long what is half done may take to be cleaned up; a pool of workers takes a tenth of that."""


class _State:
    """Whether a command is running that can be unwound, and whether Ctrl-C has come."""

    running = False
    came = False
    then = ""


_state = _State()


def say_what_then(words: str) -> None:
    """Say, once Ctrl-C has come, what the same command will do when it is run again; what is said first holds."""
    _state.then = _state.then or words


def take_over() -> None:
    """Handle Ctrl-C here from now on; where it is ignored (`nohup`, a shell's background) it stays so."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, _interrupted)


def interruptible(command: Callable[[], R]) -> R:
    """Return `command()`; when Ctrl-C comes, end the process once what was half done is cleaned up."""
    take_over()
    _state.then = ""
    try:
        return _unwound(command)
    except KeyboardInterrupt:  # the one that came while something else was ending the command
        _end()


def _unwound(command: Callable[[], R]) -> R:
    try:
        _state.running = True
        result = command()
        _state.running = _state.came = False  # a server takes Ctrl-C for its end
        _ignore()
        return result
    except BaseException:
        _state.running = False
        if _state.came:  # libraries turn it into errors of their own
            _end()
        raise


def _ignore() -> None:
    """All is done and said; what is left is the interpreter's own end, which would not say anything."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupted(signum: int, frame: FrameType | None) -> None:
    if _state.came or not _state.running:
        _end()
    _state.came = True
    _be_silent()
    import threading

    with suppress(RuntimeError):  # no memory for a thread: then the second Ctrl-C ends it
        timer = threading.Timer(_CLEANING_S, _end_if_still_running)
        timer.daemon = True
        timer.start()
    raise KeyboardInterrupt


def _be_silent() -> None:
    """Let nothing be said but the one line: what threads and destructors meet now is no news."""
    import logging

    sys.stderr = io.StringIO()
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = _end_if_interrupted


def _end_if_interrupted(unraisable: Any) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):  # raised in a destructor, where nobody can catch it
        _end()


def _end_if_still_running() -> None:
    if _state.came:
        _end()


def _end() -> NoReturn:
    """Say the line and end this process where it stands; its workers end with it."""
    if os.environ.get("RANK", "0") == "0":  # one of several processes speaks
        with suppress(OSError):
            above = "\n" if os.isatty(2) else ""  # a bar, or what the terminal echoed
            os.write(2, f"{above}{_LINE}{_state.then}\n".encode())
    os._exit(STATUS)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back: threads and processes that are started here inherit that and never get it themselves.

    Multiprocessing's resource tracker has to run already: where it starts, signals are let through again.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
