"""Fixtures that run commands in the test process."""

from tests.support.installation.command_line import cli, folder

__all__ = ["cli", "folder"]
