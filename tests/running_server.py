"""A server that answers while a test asks it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from dped_data.token_server import TokenServer

S = TypeVar("S", bound=TokenServer)


@contextmanager
def running_server(server: S) -> Iterator[S]:
    """Let the server answer from a thread of its own; stop it at the end."""
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
