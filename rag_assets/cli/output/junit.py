"""The results of checks as JUnit XML, which CI systems show as tests."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from rag_assets.cli.runtime.run_job import CheckOutcome, RunOutcome

# Characters that XML cannot hold, escaped or not.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(file: Path, outcome: "RunOutcome", *, seconds: float) -> None:
    """Write one test suite. A warning counts as skipped, since it fails nothing, and the run's error as an error."""
    suite = Element("testsuite", name="rag-assets check", time=f"{seconds:.3f}")
    for check in outcome.checks:
        _add_case(suite, check)
    fatal = [check for check in outcome.checks if check.fatal]
    if outcome.error is not None and not fatal:
        case = SubElement(suite, "testcase", classname="run", name="all checks could be made")
        SubElement(case, "error", message=_printable(str(outcome.error)), type=type(outcome.error).__name__)
    suite.set("tests", str(len(suite)))
    for kind in ("failure", "error", "skipped"):
        suite.set({"failure": "failures", "error": "errors"}.get(kind, kind), str(len(suite.findall(f"*/{kind}"))))
    root = Element("testsuites")
    root.append(suite)
    indent(root)
    try:
        ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be written ({error.strerror}); name another file.") from error


def _add_case(suite: Element, check: "CheckOutcome") -> None:
    case = SubElement(suite, "testcase", classname=check.asset, name=check.name)
    figures = _printable(json.dumps(check.metadata, default=str, ensure_ascii=False, indent=1))
    if check.passed:
        SubElement(case, "system-out").text = figures
        return
    message = _printable(check.description or "it failed without a reason")
    if check.fatal:
        SubElement(case, "failure", message=message, type=check.severity).text = figures
    else:
        SubElement(case, "skipped", message=f"warning: {message}").text = figures


def _printable(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
