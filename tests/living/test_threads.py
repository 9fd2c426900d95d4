"""Threads use and change a session while its objects follow: nobody meets a half converted one."""

from __future__ import annotations

import threading
from typing import Any

from hotsession.living.classes import living
from tests.effort import times
from tests.living.generations import Code, follow

CODE = """
from dataclasses import dataclass, field

@dataclass
class A:
    x: int
    FIELDS
    def f(self): return self.x + sum(map(len, (SUM)))
"""


def code_with(fields: int) -> str:
    """A class with so many fields, all of which its method uses."""
    names = [f"y{number}" for number in range(fields)]
    text = CODE.replace("FIELDS", "\n    ".join(f"{name}: list = field(default_factory=list)" for name in names))
    return text.replace("SUM", "".join(f"self.{name}, " for name in names))


def test_threads_that_use_what_is_converted(code: Code) -> None:
    """Methods can be called, and containers changed, at any moment; nothing that is put in is lost."""
    shop = code.first(text=code_with(0))
    session: dict[str, Any] = {"all": [shop.A(1) for _ in range(50)], "made": {}, "set": set(), "t": (shop.A(1),)}
    errors: list[BaseException] = []
    done = threading.Event()
    counts = [0, 0, 0]

    def use(number: int) -> None:
        try:
            while not done.is_set():
                for each in session["all"]:
                    assert each.f() == 1
                if counts[number] < 1000:
                    session["made"][number, counts[number]] = session["t"]
                    session["set"].add((number, counts[number]))
                    counts[number] += 1
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(times(10, 100, 3)):
        code.save(code_with(turn))
        follow(session)
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(session["made"]) == len(session["set"]) == sum(counts)


def test_two_threads_convert_the_same(code: Code) -> None:
    """Steps are run once, whoever comes first."""
    text = "class A:\n    def __init__(self): self.seen = []\n"
    cls = code.first(text=text).A
    objects = [cls() for _ in range(500)]
    shop = code.save(text + "    def __hot_migrate__(self, old): self.seen.append(old)\n")
    threads = [threading.Thread(target=living().follow, args=(objects,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(each) for each in objects} == {shop.A}
    assert all(each.seen == [0] for each in objects)


def test_slices_and_touches_take_turns(code: Code) -> None:
    """A conversion that is paused, and another of the same objects meanwhile, run each step once."""
    text = "class A:\n    def __init__(self): self.seen = []\n"
    cls = code.first(text=text).A
    objects = [cls() for _ in range(500)]
    session = {"objects": objects}
    code.save(text + "    def __hot_migrate__(self, old): self.seen.append(old)\n")
    slow = living().conversion(session).run()
    for _ in range(5):
        next(slow)
    assert 0 < sum(each.seen == [0] for each in objects) < 500
    assert not follow(session).failed
    for _ in slow:
        pass
    assert all(each.seen == [0] for each in objects)
