"""Fixtures that run commands in the test process."""

from tests.support.installation.command_line import cli

__all__ = ["cli"]
