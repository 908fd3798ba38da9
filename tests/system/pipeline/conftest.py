"""Fixtures for tests of the stages."""

from tests.integration.pipeline.conftest import folder, steps

__all__ = ["folder", "steps"]
