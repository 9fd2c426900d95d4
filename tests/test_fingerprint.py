"""Fingerprints of factories: the same for the same code wherever it stands, another for other code."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hotsession.fingerprint import fingerprint

BASE = "f = lambda: 1"

# Each is other code than all the rest.
SOURCES = [
    BASE,
    "f = lambda: 2",
    "f = lambda: True",
    "f = lambda: 1.0",
    "f = lambda: '1'",
    "f = lambda: (1, 2)",
    "f = lambda: [1, 2]",
    "f = lambda: {'a': 1}",
    "f = lambda: {'a': 2}",
    "f = lambda x=1: x",
    "f = lambda x=2: x",
    "f = lambda *, x=1: x",
    "f = lambda: dict()",
    "f = lambda: list()",
    "def f(): return [x for x in (1, 2)]",
    "def f(): return [x for x in (1, 3)]",
    "def f():\n def g(): return 5\n return g",
    "def f():\n def g(): return 6\n return g",
    "def f():\n try: return 1\n except ValueError: return 7",
    "def f():\n try: return 1\n except TypeError: return 7",
    "async def f(): return 1",
    "def f(): yield 1",
    "def make(n): return lambda: n\nf = make(1)",
    "def make(n): return lambda: n\nf = make(2)",
    "def make(n): return lambda: n\nf = make([1, {'a': 2}])",
    "def make(n): return lambda: n()\nf = make(lambda: 1)",
    "def make(n): return lambda: n()\nf = make(lambda: 2)",
    "import functools\nf = functools.partial(dict, a=1)",
    "import functools\nf = functools.partial(dict, a=2)",
    "import functools\nf = functools.partial(list, (1,))",
    "import functools\nf = functools.lru_cache(lambda: 1)",
    "import functools\nf = functools.lru_cache(lambda: 2)",
    "f = dict",
    "f = list",
    "f = dict[str, int]",
    "f = dict[str, str]",
    "import time\nf = time.time",
    "import time\nf = time.monotonic",
    "class f: pass",
    "class A:\n @classmethod\n def make(cls): return 1\nf = A.make",
    "class A:\n @classmethod\n def make(cls): return 2\nf = A.make",
    "f = lambda x: x in {'a', 'b', 'c'}",
    "f = lambda x: x in {'a', 'b', 'd'}",
]


def compiled(source: str, *, at_line: int = 1, file: str = "app.py") -> Callable[..., Any]:
    """What `f` is in a module with this source."""
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(compile("\n" * (at_line - 1) + source, file, "exec"), namespace)  # noqa: S102 - the test's own source
    factory: Callable[..., Any] = namespace["f"]
    return factory


@pytest.mark.parametrize("source", SOURCES)
def test_the_place_of_the_code_does_not_count(source: str) -> None:
    """The same source at another line of another file has the same fingerprint."""
    here, there = compiled(source), compiled(source, at_line=40, file="other.py")
    assert fingerprint(here) is not None
    assert fingerprint(here) == fingerprint(there)


def test_other_code_has_another_fingerprint() -> None:
    """No two of the sources have one fingerprint in common."""
    found = {source: fingerprint(compiled(source)) for source in SOURCES}
    same = [(one, two) for one, two in itertools.combinations(SOURCES, 2) if found[one] == found[two]]
    assert same == []


def test_running_a_factory_does_not_change_it() -> None:
    """The interpreter specialises code that runs often; that is not another code."""
    source = "def f(n=3):\n total = 0\n for i in range(n): total += i\n return total"
    hot, cold = compiled(source), compiled(source)
    for _ in range(5000):
        hot()
    assert fingerprint(hot) == fingerprint(cold)


def test_what_is_not_simple_counts_by_its_type() -> None:
    """A closure over a live object does not make each generation's factory another one."""

    def make(lock: object) -> Callable[[], object]:
        return lambda: lock

    assert fingerprint(make(threading.Lock())) == fingerprint(make(threading.Lock()))
    assert fingerprint(make(threading.Lock())) != fingerprint(make(threading.Event()))


def test_what_refers_to_itself_has_a_fingerprint() -> None:
    """Recursive functions and data, and cells that are still empty, come to an end."""
    ring: list[object] = []
    ring.append(ring)

    def recursive(n: int = 3) -> object:
        return ring if n == 0 else recursive(n - 1)

    def unfinished() -> Callable[[], object]:
        def inner() -> object:
            return later

        found.append(fingerprint(inner))
        later = 1
        return inner

    found: list[str | None] = []
    unfinished()
    assert fingerprint(recursive) is not None
    assert found != [None]


def test_a_callable_object_has_none() -> None:
    """What an object with `__call__` does can't be told from its code alone."""

    class Factory:
        def __call__(self) -> int:
            return 1

    assert fingerprint(Factory()) is None
    assert fingerprint(functools.partial(Factory())) is None


@pytest.mark.e2e
def test_every_process_finds_the_same() -> None:
    """The order of sets, which differs between processes, does not count."""
    code = (
        "from hotsession.fingerprint import fingerprint\n"
        "print(fingerprint(lambda x: x in {'a', 'b', 'c', 'd', 'e', 'f', 'g'}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
