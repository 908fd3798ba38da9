from tests.support.documentation.page_runner import cli, ingested, runner

__all__ = ["cli", "ingested", "runner"]
