"""A small run of the pool benchmark loses and repeats no message, with and without a restart of the server."""

import json
import subprocess
import sys

import pytest

SMALL = ("--clients", "24", "--seconds", "6", "--pool", "4", "--vectors", "1000", "--think-ms", "50")


@pytest.mark.parametrize("options", [(), ("--restart",)])
def test_no_message_is_lost_or_repeated(options: tuple[str, ...]) -> None:
    argv = [sys.executable, "-m", "tests.benchmarks.pool", *SMALL, *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["lost"], found["duplicates"]) == (0, 0)
    assert found["stored"] >= found["acknowledged"] > 0 < found["searches"]
    assert found["errors"] == found["errors_clear"]
    assert found["peak_connections"] <= found["pool_maximum"] == 8
    if not options:
        assert (found["errors"], found["gaps"]) == (0, 0)
        assert found["stored"] == found["acknowledged"]
