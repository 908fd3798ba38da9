"""docs/pages/reference is what docs/reference.py makes of the code."""

import subprocess
import sys

from tests.support.paths import ROOT


def test_reference_pages_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
