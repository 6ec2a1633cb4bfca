"""The errors a person meets: one line that says where, what, measured against allowed, and the cure."""

from __future__ import annotations

from dataclasses import dataclass


class InputError(Exception):
    """Input that cannot be used. The command line prints the message as one line and exits with status 1."""


class UsageError(InputError):
    """A command or a setting that makes no sense. The command line exits with status 2."""


class PhotoError(InputError):
    """A photo that cannot be read or written, raised as PhotoError(name, fault).

    `fault` alone has the same words for the same fault, so that rejections can be counted by it.
    """

    @property
    def fault(self) -> str:
        """What is wrong, without the file's name."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


@dataclass(eq=False)
class CaptureRejected(Exception):  # noqa: N818 - a verdict about a capture, not an error of the program
    """A capture that yields no patches, with the reason that becomes its row in captures.csv.

    A dataclass, so that it survives pickling between processes.

    Attributes:
        stage: the stage that rejected it (read, features, homography, refinement, patches).
        reason: short, stable text; the same fault always has the same words.
        measured: the figure that decided, or None where there is none.
        limit: what the figure was held against, or None.
    """

    stage: str
    reason: str
    measured: float | None = None
    limit: float | None = None

    def __str__(self) -> str:
        figures = "" if self.measured is None else f" (measured {self.measured:g}, limit {self.limit})"
        return f"{self.stage}: {self.reason}{figures}"
