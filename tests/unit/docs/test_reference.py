"""docs/pages/reference is the current output of docs/reference.py, and it is complete."""

import re
import subprocess
import sys

import rag_assets
from rag_assets.settings.settings import Settings
from tests.support.documentation.pages import PAGES
from tests.support.paths import ROOT
from tests.support.pipeline.runs import fake_defs


def read_page(name: str) -> str:
    return (PAGES / "reference" / f"{name}.md").read_text(encoding="utf-8")


def test_reference_pages_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_setting_is_listed_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        assert f"| `{name.upper()}` | {default} | " in read_page("settings"), name


def test_every_check_is_listed_with_its_severity() -> None:
    specs = [spec for check in fake_defs.asset_checks or [] for spec in check.check_specs]
    found = dict(re.findall(r"^### (\w+)\n\nSeverity (\w+(?:, blocking)?)\. ", read_page("checks"), flags=re.MULTILINE))
    assert {name: "blocking" in severity for name, severity in found.items()} == {
        spec.name: spec.blocking for spec in specs
    }


def test_every_public_name_is_documented() -> None:
    documented = re.findall(r"^::: rag_assets\.[\w.]*?(\w+)$", read_page("api"), flags=re.MULTILINE)
    assert set(documented) >= set(rag_assets.__all__)
