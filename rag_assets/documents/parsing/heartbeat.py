"""Signs of life of the child process that parses: each gives the document at hand its whole time again."""

from collections.abc import Callable

_send: Callable[[], None] | None = None


def on_heartbeat(send: Callable[[], None]) -> None:
    global _send
    _send = send


def beat() -> None:
    """Say that work goes on which takes long for good reason, such as the recognition of a page."""
    if _send is not None:
        _send()
