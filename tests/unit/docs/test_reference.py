"""docs/pages/reference is what docs/reference.py makes of the code, and nothing of the code is missing in it."""

import re
import subprocess
import sys

import rag_assets
from rag_assets.settings.settings import Settings
from tests.support.pages import PAGES
from tests.support.paths import ROOT
from tests.support.runs import fake_defs


def page(name: str) -> str:
    return (PAGES / "reference" / f"{name}.md").read_text(encoding="utf-8")


def test_reference_pages_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_setting_has_a_row_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        assert f"| `{name.upper()}` | {default} | " in page("settings"), name


def test_every_check_says_whether_it_blocks() -> None:
    specs = [spec for check in fake_defs.asset_checks or [] for spec in check.check_specs]
    found = dict(re.findall(r"^### (\w+)\n\nSeverity (\w+(?:, blocking)?)\. ", page("checks"), flags=re.MULTILINE))
    assert {name: "blocking" in how for name, how in found.items()} == {spec.name: spec.blocking for spec in specs}


def test_every_public_name_is_documented() -> None:
    documented = re.findall(r"^::: rag_assets\.[\w.]*?(\w+)$", page("api"), flags=re.MULTILINE)
    assert set(documented) >= set(rag_assets.__all__)
