"""What can't be read while code is being imported, or is broken, and is read into the values in use when it can."""

from __future__ import annotations

import importlib
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hotsession.registry import Transaction, registry
from hotsession.snapshot import written
from hotsession.snapshot.importing import is_importing
from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from hotsession.snapshot.takeover import take_over
from tests.deadlines import DEADLINE
from tests.snapshot.carriers import Process, Start
from tests.snapshot.stores import line, process

NAME = "the_users_module"
CLASSES = """
class Message:
    def __init__(self, text): self.text = text
    def __eq__(self, other): return type(self) is type(other) and self.text == other.text
    def __repr__(self): return f"Message({self.text!r})"
    __hash__ = None
"""

Import = Callable[[Process, str], ModuleType]
pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Catch what is only for information, too."""
    caplog.set_level(logging.INFO, "hotsession")


@pytest.fixture
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """Imports a module of the user's anew, for which `keep` is that of a process."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def imported(of: Process, source: str) -> ModuleType:
        sys.modules.pop(NAME, None)
        helper = ModuleType("hotsession_of_the_test")
        helper.__dict__["keep"] = of.keep
        monkeypatch.setitem(sys.modules, helper.__name__, helper)
        (tmp_path / f"{NAME}.py").write_text(f"from hotsession_of_the_test import keep\n{source}")
        importlib.invalidate_caches()
        return importlib.import_module(NAME)

    yield imported
    sys.modules.pop(NAME, None)


@pytest.mark.parametrize(
    ("factory", "fill"),
    [
        ("list", "kept.append(module.Message('a'))"),
        ("dict", "kept.update(a=module.Message('a'), b=1)"),
        ("lambda: __import__('collections').deque()", "kept.append(module.Message('a'))"),
        ("lambda: __import__('types').SimpleNamespace(one=None)", "kept.one = module.Message('a')"),
        ("lambda: ['seed']", "kept.append(module.Message('a'))"),
    ],
)
async def test_a_value_that_is_kept_above_its_classes_is_complete_when_the_app_is_up(
    start: Start, imports: Import, caplog: pytest.LogCaptureFixture, factory: str, fill: str
) -> None:
    """The object that the module holds gets what could not be read amid its import, and nobody is told of trouble."""
    source = f"kept = keep('value', {factory})\n{CLASSES}"
    first = start()
    module = imports(first, source)
    exec(fill, {"kept": module.kept, "module": module})  # noqa: S102
    before = repr(module.kept)
    first.carrier.flush()
    for _ in range(2):
        again = start()
        module = imports(again, source)
        assert repr(module.kept) != before
        again.carrier.settle_in()
        assert sorted(repr(module.kept)) == sorted(before)  # items of a dict may come in another order
        assert again.notices.waiting == {}
        again.carrier.flush()
        assert not again.store.items(b"lost/")
        assert not again.store.items(b"waiting/")
    assert "can't be read" not in caplog.text
    assert "is back" not in caplog.text


@pytest.mark.parametrize("form", ["list", "dict"])
async def test_the_parts_of_a_large_value_come_as_well(
    start: Start, imports: Import, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    """In their order, each once, also at the restart after that."""

    def limited(value: Any, *, time_limit: float | None = None, **options: Any) -> Pickled:
        if time_limit is not None and isinstance(value, dict | list) and len(value) > 10:
            raise TooSlow
        return pickled(value, **options)

    monkeypatch.setattr(written, "pickled", limited)
    source = f"kept = keep('value', {form})\n{CLASSES}"
    first = start()
    module = imports(first, source)
    parts = [number if number % 2 else module.Message(str(number)) for number in range(100)]
    parts[5] = {"n": 5, "inner": module.Message("inner")}
    if form == "list":
        module.kept.extend(parts)
    else:
        module.kept.update(enumerate(parts))
    before = repr(module.kept)
    first.carrier._look_at_values()
    while first.values.is_going("value"):
        first.carrier.flush()
    for turn in range(3):
        again = start()
        module = imports(again, source)
        assert len(module.kept) == 50
        again.carrier.settle_in()
        assert sorted(repr(module.kept)) == sorted(before)
        assert form == "dict" or repr(module.kept) == before
        if turn == 1:
            again.carrier.flush()
    assert "can't be read" not in caplog.text


async def test_what_can_not_be_read_then_either_is_told(
    start: Start, imports: Import, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the reason that holds then; its bytes are kept."""
    first = start()
    module = imports(first, f"kept = keep('value', dict)\n{CLASSES}")
    module.kept["a"] = module.Message("a")
    first.carrier.flush()
    again = start()
    imports(again, "kept = keep('value', dict)")
    assert "can't be read" not in caplog.text
    again.carrier.settle_in()
    again.carrier.look()
    assert caplog.text.count("'a' can't be read: AttributeError: module 'the_users_module' has no attribute") == 1
    assert again.carrier.arrivals() == "'value', 1 more as bytes until the code can read them"


async def test_without_a_middleware_the_thread_reads_it(start: Start, imports: Import) -> None:
    """It looks when nothing is being imported any more."""
    source = f"kept = keep('value', list)\n{CLASSES}"
    first = start()
    module = imports(first, source)
    module.kept.append(module.Message("a"))
    first.carrier.flush()
    again = start()
    spec = sys.__spec__
    module = imports(again, source)
    spec._initializing = True  # type: ignore[attr-defined]
    try:
        again.carrier.look()
        assert module.kept == []
    finally:
        spec._initializing = False  # type: ignore[attr-defined]
    again.carrier.look()
    assert module.kept == [module.Message("a")]


async def test_a_session_gets_back_what_is_readable_again_after_a_reload_in_place(
    start: Start, imports: Import
) -> None:
    """When it is used the next time, as does a kept value; before the reload nothing is tried again."""
    first = start()
    module = imports(first, CLASSES)
    kept = first.keep("value", dict)
    kept["a"] = module.Message("a")
    (await first.session()).data["a"] = module.Message("a")
    first.carrier.flush()
    again = start()
    imports(again, "")
    kept = again.keep("value", dict)
    await again.session()
    again.carrier.settle_in()
    assert (kept, dict((await again.session()).data)) == ({}, {})
    imports(again, CLASSES)
    again.carrier.look()
    assert (kept, dict((await again.session()).data)) == ({}, {})
    registry.serve_scope(registry.current + 1)
    again.carrier.look()
    expected = {"a": sys.modules[NAME].Message("a")}
    assert kept == expected
    assert dict((await again.session()).data) == expected
    assert again.notices.waiting == {}
    assert not again.store.items(b"parked/")


async def test_after_a_reload_a_value_in_use_is_not_replaced(start: Start, imports: Import) -> None:
    """What was built in the place of a lost one may be worked with: only an empty one takes over."""
    first = start()
    module = imports(first, CLASSES)
    for name in ("used", "empty"):
        first.keep(name, list).append(module.Message("a"))
    first.carrier.flush()
    again = start()
    imports(again, "")
    used, empty = again.keep("used", list), again.keep("empty", list)
    again.carrier.settle_in()
    used.append("new")
    imports(again, CLASSES)
    registry.serve_scope(registry.current + 1)
    again.carrier.look()
    assert (used, len(empty)) == (["new"], 1)
    assert len(again.store.items(b"lost/")) == 1


def test_an_import_is_seen_wherever_it_is_under_way() -> None:
    """A module that Python imports, one of a load of ours, and the main program's file in a spawned process."""
    assert not is_importing()
    with registry.loading(Transaction()):
        assert is_importing()
    assert not is_importing()


class Slotted:
    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        self.n = n


def test_only_what_can_change_takes_over() -> None:
    """Of the same class; whoever refers to the object in use sees the content."""
    live = Slotted(1)
    assert take_over(live, Slotted(2), unused=True)
    assert live.n == 2
    assert not take_over(live, Slotted(3), unused=False)
    assert not take_over([], deque([1]), unused=True)
    assert not take_over((), (1,), unused=True)


OTHER = """
import asyncio, logging
from tests.snapshot.carriers import Process
said = []
class Listener(logging.Handler):
    def emit(self, record): said.append(record.getMessage())
logging.getLogger("hotsession").addHandler(Listener())
async def main():
    of = Process(directory)
    session = await of.session(n=1)
    of.carrier.flush()
    say(of.store.number)
    for text in sys.stdin:
        session.data["n"] = text.strip()
        of.carrier.flush()
        say(said)
    os._exit(0)
asyncio.run(main())
"""


@pytest.mark.e2e
async def test_a_write_that_comes_too_late_is_named(start: Start, tmp_path: Path) -> None:
    """A draining process is refused what the new one wrote meanwhile, and its log says whose change that costs."""
    with process(OTHER, tmp_path / "snapshot") as other:
        assert other.stdin is not None
        assert line(other) == "1"
        new = start()
        session = await new.session()
        session.data["n"] = "new"
        new.carrier.flush()
        for _ in range(2):
            other.stdin.write("old\n")
            other.stdin.flush()
            said = line(other)
        assert said.count("of 'key' was changed in this process after a newer one had changed it") == 1
        other.stdin.close()
        other.wait(DEADLINE)
    assert (await start().session()).data["n"] == "new"
