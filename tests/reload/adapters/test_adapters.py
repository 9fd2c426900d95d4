"""Who is asked, and what happens when one of them fails."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import pytest

from hotsession.reload import adapters


class Recorder:
    """An adapter that notes what it is asked, and raises when told to."""

    def __init__(self, library: str, calls: list[str], fails: str = "") -> None:
        self.library = library
        self.calls = calls
        self.fails = fails

    def _note(self, what: str) -> None:
        self.calls.append(f"{self.library} {what}")
        if what == self.fails:
            raise ZeroDivisionError

    def dependents(self, modules: frozenset[str]) -> frozenset[str]:
        self._note("dependents")
        return frozenset({"one", "two", "sqlalchemy.orm"})

    def begin(self, modules: frozenset[str]) -> Any:
        self._note("begin")
        return self

    def commit(self) -> None:
        self._note("commit")

    def rollback(self) -> None:
        self._note("rollback")

    def release(self) -> None:
        self._note("release")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What two adapters were asked, of which a test may make one fail; a third one's library is not there."""
    found: list[str] = []
    known = {}
    for library in ("first", "second", "absent"):
        module: Any = ModuleType(f"adapter_of_{library}")
        module.adapter = Recorder(library, found)
        known[library] = module.__name__
        monkeypatch.setitem(sys.modules, module.__name__, module)
        if library != "absent":
            monkeypatch.setitem(sys.modules, library, ModuleType(library))
    monkeypatch.setattr(adapters, "_ADAPTERS", known)
    return found


def make_fail(what: str) -> None:
    """Let the first adapter raise when it is asked `what`."""
    sys.modules["adapter_of_first"].adapter.fails = what


def test_only_loaded_libraries_are_asked(calls: list[str]) -> None:
    """An adapter whose library is not imported is not asked; roll-backs run in reverse order."""
    adapters.begin_all(frozenset()).commit()
    adapters.begin_all(frozenset()).rollback()
    assert calls == [
        *("first begin", "second begin", "first commit", "second commit"),
        *("first begin", "second begin", "second rollback", "first rollback"),
    ]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("begin", ["first begin", "second begin", "second commit"]),
        ("commit", ["first begin", "second begin", "first commit", "second commit"]),
    ],
)
def test_failing_adapter_is_named_and_the_others_run(
    calls: list[str], caplog: pytest.LogCaptureFixture, what: str, expected: list[str]
) -> None:
    """What an adapter raises is logged with its library, and the next one is asked all the same."""
    make_fail(what)
    with caplog.at_level(logging.ERROR, "hotsession"):
        adapters.begin_all(frozenset()).commit()
    assert calls == expected
    assert [record.exc_info is not None and "first" in record.getMessage() for record in caplog.records] == [True]


def test_failing_rollback_does_not_keep_the_others_from_theirs(
    calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Every adapter rolls back, whichever fails."""
    sys.modules["adapter_of_second"].adapter.fails = "rollback"
    adapters.begin_all(frozenset()).rollback()
    assert calls[-2:] == ["second rollback", "first rollback"]
    assert "second" in caplog.text


def test_dependents_are_own_modules(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of libraries, and those that are replaced anyway, are not among the dependents."""
    for name in ("one", "two"):
        module = ModuleType(name)
        module.__file__ = f"/project/{name}.py"
        monkeypatch.setitem(sys.modules, name, module)
    assert adapters.dependents_of(frozenset({"one"})) == {"two"}
    make_fail("dependents")
    assert adapters.dependents_of(frozenset({"one"})) == {"two"}


def test_release_asks_all(calls: list[str]) -> None:
    """Every loaded library lets go of old generations, also after one that fails."""
    make_fail("release")
    adapters.release_all()
    assert calls == ["first release", "second release"]


def test_adapter_that_cannot_be_imported_is_named(calls: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A version of a library that has moved what an adapter imports is an error in the log, not of the load."""
    adapters._ADAPTERS["first"] = "no_such_module"
    adapters.begin_all(frozenset()).commit()
    assert calls == ["second begin", "second commit"]
    assert "The adapter for first could not be imported" in caplog.text
