"""A plugin of pytest for machines that others use as well: a test that fails is tried once more, alone.

    python3 -m tests -p tests.second_chance

A test that fails twice has failed. One that passes is said so loudly, with what it failed of at first, and counts as
passed and as rerun. When many fail none gets a second chance: then it is no accident.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from _pytest.terminal import TerminalReporter

AT_MOST = 5  # tests
SECONDS = 300  # for one of them, alone


class SecondChance:
    """Tries again what failed, when all tests are done and before the summary.

    Args:
        terminal: what reports.
    """

    def __init__(self, terminal: TerminalReporter) -> None:
        self._terminal = terminal
        self._passed_now: dict[str, list[pytest.TestReport]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Try again each test that failed, unless they are many."""
        failed: dict[str, list[pytest.TestReport]] = {}
        for report in [*self._reports("failed"), *self._reports("error")]:
            failed.setdefault(report.nodeid, []).append(report)
        if exitstatus != pytest.ExitCode.TESTS_FAILED or len(failed) > AT_MOST:
            return
        for name, reports in failed.items():
            self._say(f"SECOND ATTEMPT, alone: {name}")
            if self._passes(session.config, name):
                self._passed_now[name] = reports
        self._count(session, set(failed) == set(self._passed_now))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self) -> None:
        """Say what passed only the second time, and of what it failed at first."""
        for name, reports in self._passed_now.items():
            self._terminal.section(f"FAILED AT FIRST, PASSED ALONE: {name}", yellow=True, bold=True)
            for report in reports:
                self._terminal.line(report.longreprtext)
                for title, text in report.sections:
                    self._terminal.line(f"--- {title} ---\n{text}")

    def _reports(self, outcome: str) -> list[pytest.TestReport]:
        return [each for each in self._terminal.stats.get(outcome, ()) if isinstance(each, pytest.TestReport)]

    def _passes(self, config: pytest.Config, name: str) -> bool:
        command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-q", name]
        try:
            tried = subprocess.run(
                command, cwd=config.rootpath, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            self._say("It did not end.")
            return False
        if tried.returncode == pytest.ExitCode.OK:
            self._say("PASSED at the second attempt")
            return True
        *output, _ = tried.stdout.rstrip().splitlines() or [""]  # the one summary is that of the whole run
        self._say("FAILED again")
        self._terminal.write_line("\n".join(output))
        return False

    def _count(self, session: pytest.Session, is_all: bool) -> None:
        """Have those that passed now counted as passed, once each, and as rerun."""
        stats = self._terminal.stats
        for name, reports in self._passed_now.items():
            for outcome in ("failed", "error"):
                stats[outcome] = [each for each in stats.get(outcome, ()) if getattr(each, "nodeid", "") != name]
                if not stats[outcome]:
                    del stats[outcome]
            passed = stats.setdefault("passed", [])
            if not any(each.nodeid == name for each in passed):
                passed.append(reports[0])
            stats.setdefault("rerun", []).append(reports[0])
        if is_all and self._passed_now:
            session.exitstatus = pytest.ExitCode.OK

    def _say(self, text: str) -> None:
        self._terminal.ensure_newline()
        self._terminal.write_sep("!", text, yellow=True, bold=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take part in the process that reports, which is there by now, not in those that test for it."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SecondChance(terminal), "hotsession second chance")
