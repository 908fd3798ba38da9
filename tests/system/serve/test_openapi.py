"""Requests that Schemathesis makes up from the OpenAPI description never end in an error that nobody foresaw."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.serve.conftest import ServedInstallation

# Of each route.
EXAMPLES = 8
# 503 while no memory is embedded, and where a search takes longer than the request lets it: 0.001 s, for example.
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
"""


def test_no_request_is_a_server_error(installation: ServedInstallation, tmp_path: Path) -> None:
    python = os.environ.get("OUTSIDE_CLIENTS_PYTHON")
    if python is None:
        pytest.skip("needs OUTSIDE_CLIENTS_PYTHON, as .ci/run sets it")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [python, "-m", "schemathesis.cli", "run", f"{installation.server.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {installation.key}", "--max-examples", str(EXAMPLES)]
    command += ["--checks", "not_a_server_error", "--seed", "1", "--no-color"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
