"""JUnit XML stays well-formed, whatever names and texts hold."""

from pathlib import Path
from xml.etree import ElementTree

from rag_assets.cli.output.junit import write_junit
from rag_assets.cli.runtime.run_job import CheckOutcome, RunOutcome
from rag_assets.errors import RagAssetsError

HOSTILE = "a\x00b\x1b[31m\ud800\ufffe]]><x attribute='\"'>&y;\nline\u202e"


def test_hostile_names_are_text_in_well_formed_xml(tmp_path: Path) -> None:
    checks = [
        CheckOutcome("chunks", "one", False, severity, {HOSTILE: [HOSTILE]}, HOSTILE) for severity in ("ERROR", "WARN")
    ]
    checks.append(CheckOutcome("chunks", "two", True, "ERROR", {"examples": [HOSTILE]}, None))
    for number, outcome in enumerate(
        (RunOutcome("run", False, {}, checks, None), RunOutcome("run", False, {}, [], RagAssetsError(HOSTILE)))
    ):
        file = tmp_path / f"{number}.xml"
        write_junit(file, outcome, seconds=1.0)
        suite = ElementTree.parse(file).getroot()[0]
        assert suite.get("tests") == str(len(suite))
        shown = "".join(suite.itertext()) + "".join(str(one.attrib) for one in suite.iter())
        assert "]]><x attribute" in shown
