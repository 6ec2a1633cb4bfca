"""A server that answers while a test asks it."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TypeVar

from dped_data.common.token_server import TokenServer

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


def lasting_port() -> int:
    """A free port below those that systems hand out by themselves: nobody takes it while its server is away."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with closing(socket.socket()) as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
