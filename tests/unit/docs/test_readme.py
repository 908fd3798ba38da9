"""The README says what is so."""

import re

from rag_assets.settings.settings import Settings
from tests.support.paths import ROOT
from tests.support.runs import fake_defs

README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    """The rows that the README must have, made of the settings themselves."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| {name.upper()} | {default} | {field.description} |")
    return "\n".join(rows)


def test_every_setting_stands_in_the_readme_with_its_default() -> None:
    assert settings_table() in README


def test_every_check_stands_in_the_readme() -> None:
    specs = [spec for check in fake_defs.asset_checks or [] for spec in check.check_specs]
    listed = dict(re.findall(r"^\| (\w+)( \(warns\)| ●)? \| \w+ \|", README, flags=re.MULTILINE))
    # Those of messages and memories are the ones of chunks, under a prefix.
    names = {spec.name.removeprefix("message_").removeprefix("memory_"): spec.blocking for spec in specs}
    assert set(listed) >= set(names)
    assert {name for name, mark in listed.items() if mark == " ●"} == {name for name, block in names.items() if block}


def test_the_two_commands_stand_in_the_readme_as_ci_runs_them() -> None:
    commands = re.findall(r"^    (pip install -e .*)$", README, flags=re.MULTILINE)
    assert commands == [
        "pip install -e '.[local]' -c constraints.txt && rag-assets ingest",
        "pip install -e '.[local,dev]' -c constraints.txt && pytest",
    ]


def test_pictures_are_there_and_small() -> None:
    root = ROOT
    pictures = re.findall(r"^!\[[^\]]+\]\((.*)\)$", README, flags=re.MULTILINE)
    assert (
        set(pictures)
        == {f"docs/pages/images/{file.name}" for file in (root / "docs/pages/images").glob("*.png")}
        != set()
    )
    for picture in pictures:
        content = (root / picture).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 200_000
