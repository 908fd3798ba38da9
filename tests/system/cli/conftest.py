"""Commands run in this process, and as processes."""

from tests.support.command_line import cli, folder

__all__ = ["cli", "folder"]
