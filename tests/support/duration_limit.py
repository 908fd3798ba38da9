"""`pytest --longest-s 10` fails when the body of a test takes longer than 10 s; fixtures are not counted."""

import pytest


class DurationLimit:
    """Collects the tests over the limit. Register it in the process that gets the reports of all workers."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._over: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.duration > self._limit_s:
            self._over[report.nodeid] = report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._over and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for test, seconds in sorted(self._over.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"FAILED {test} took {seconds:.1f} s, more than {self._limit_s:g} s", red=True)
