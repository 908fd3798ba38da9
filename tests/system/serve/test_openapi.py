"""Requests that Schemathesis makes up from the OpenAPI description never end in a server error."""

import os
import subprocess

import pytest

from tests.system.serve.conftest import ServedInstallation

# Of each route.
EXAMPLES = 8


def test_no_request_is_a_server_error(installation: ServedInstallation) -> None:
    python = os.environ.get("OUTSIDE_CLIENTS_PYTHON")
    if python is None:
        pytest.skip("needs OUTSIDE_CLIENTS_PYTHON, as .ci/run sets it")
    command = [python, "-m", "schemathesis.cli", "run", f"{installation.server.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {installation.key}", "--max-examples", str(EXAMPLES)]
    command += ["--checks", "not_a_server_error", "--seed", "1", "--no-color"]
    # Its 503 says that no memory is embedded yet.
    command += ["--exclude-path", "/v1/memories/recall"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=os.environ["HOME"])
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
