"""Modules that are replaced as a reload replaces them, without a server: text in, a new module in `sys.modules`."""

from __future__ import annotations

import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hotsession.living.classes import living
from hotsession.living.outcome import Outcome
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.unpickling import unpickled


class Code:
    """The app's own modules."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        living().note({}, self._names.__contains__)

    def first(self, name: str = "shop", text: str = "") -> Any:
        """Make a module."""
        module = types.ModuleType(name)
        module.__file__ = f"/app/{name}.py"
        sys.modules[name] = module
        self._names.add(name)
        exec(textwrap.dedent(text), module.__dict__)  # noqa: S102 - the code of the test
        return module

    def save(self, text: str = "", name: str = "shop") -> Any:
        """Replace a module by another of its name."""
        return self.save_all({name: text})[name]

    def save_all(self, texts: dict[str, str | None]) -> dict[str, Any]:
        """Replace several modules at once; None takes one away."""
        old = {name: sys.modules.pop(name, None) for name in texts}
        made = {name: self.first(name, text) for name, text in texts.items() if text is not None}
        living().note(old, self._names.__contains__)
        return made

    def forget(self) -> None:
        """Take all of them out of `sys.modules`."""
        for name in self._names:
            sys.modules.pop(name, None)


@contextmanager
def some_code() -> Iterator[Code]:
    """The app's modules, gone after the block."""
    code = Code()
    try:
        yield code
    finally:
        code.forget()


def follow(root: Any) -> Outcome:
    """Bring all that hangs on an object to the classes as they are now."""
    return living().follow(root)


def restarted(value: Any, save: Callable[[], object]) -> Any:
    """What a value is after a restart that brings the code that `save` makes.

    Raises:
        Unreadable: nothing of it can be read by that code.
    """
    written = pickled(value)
    assert not written.left_out
    save()
    found = unpickled(written.data)
    assert not found.parked, found.parked
    return found.value


class Held:
    """What is in a session, while the code is edited: in place, or with a restart at each save."""

    def __init__(self, code: Code, text: str, make: str, *, restart: bool) -> None:
        self._code = code
        self._restart = restart
        self.shop = code.first(text=text)
        self.session = {"it": eval(make, {"shop": self.shop})}  # noqa: S307 - the expression of the test

    @property
    def it(self) -> Any:
        """The object."""
        return self.session["it"]

    def save(self, text: str) -> Any:
        """Edit the code, and return the object as it is then."""

        def save() -> None:
            self.shop = self._code.first(text=text)

        if self._restart:
            self.session = restarted(self.session, save)
        else:
            self.shop = self._code.save(text)
            assert not follow(self.session).left
        return self.it


BOTH_WAYS = pytest.mark.parametrize("restart", [False, True], ids=["in place", "restart"])
