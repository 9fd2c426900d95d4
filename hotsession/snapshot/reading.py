"""Bytes read against the code as it is now: all of it, or an error that says why not. It keeps nothing that fails."""

from __future__ import annotations

import asyncio
import contextlib
import io
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from hotsession.living.classes import living
from hotsession.living.restored import Restored
from hotsession.living.shapes import Shape
from hotsession.snapshot.changed import ChangedReader
from hotsession.snapshot.makers import by_name
from hotsession.snapshot.pickling import Heading
from hotsession.snapshot.shaped import read_shapes

_met: ContextVar[set[type] | None] = ContextVar("hotsession_classes_met", default=None)


class OtherPython(Exception):
    """Compiled code is read by the Python version that wrote it alone."""


@contextlib.contextmanager
def noted() -> Iterator[set[type]]:
    """The classes that are met by what is loaded in the block."""
    met: set[type] = set()
    token = _met.set(met)
    try:
        yield met
    finally:
        _met.reset(token)


def load(data: bytes) -> Any:
    """The value that these bytes are of.

    Raises:
        OtherPython: they hold code that this version can't read.
        NotConverted: an object could not be brought to its class as it is now.
        Exception: whatever the code that they name raises.
    """
    heading, body = Heading.split(data)
    if heading.code and heading.python != sys.version_info.minor:
        raise OtherPython(
            f"it holds code compiled by Python 3.{heading.python}, and this is 3.{sys.version_info.minor}"
        )
    finder, shapes = _Finder(), read_shapes(heading.shapes)
    finder.look_for(shapes)
    try:
        return _loaded(body, finder, shapes)
    finally:
        if (met := _met.get()) is not None:
            met.update(finder.classes.values())


def _loaded(body: bytes, finder: _Finder, shapes: dict[tuple[str, str], Shape]) -> Any:
    if not Restored(shapes, finder.classes).changed:
        try:
            value = _Reader(io.BytesIO(body), finder).load()
        except (AttributeError, TypeError):
            if not any(map(living().owns, finder.classes.values())):
                raise  # else a class may have other slots now, which pickle can't fill
        else:
            if not Restored(shapes, finder.classes).changed:
                return value
    restored = Restored(shapes, finder.classes)
    value = ChangedReader(io.BytesIO(body), finder.find, restored).load()
    restored.learn(shapes, finder.classes)
    return restored.convert(value)


class _Finder:
    """Finds classes and functions where Python code does: C code does not see the modules of a load under way."""

    def __init__(self) -> None:
        self.classes: dict[tuple[str, str], type] = {}

    def find(self, module: str, name: str) -> Any:
        """What goes by this name now."""
        found = by_name(module, name)
        if found is by_name:  # which classes that were replaced when they were written are asked for with
            return self.find
        if isinstance(found, type):
            self.classes[module, name] = found
        return _Unheld if found is asyncio.Lock else found

    def look_for(self, names: Iterable[tuple[str, str]]) -> None:
        """Find classes beforehand, where they go by these names."""
        for name in names:
            with contextlib.suppress(ImportError, AttributeError):  # it may be needed by another name, or by none
                self.find(*name)


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, finder: _Finder) -> None:
        super().__init__(file)
        self._finder = finder

    def find_class(self, module: str, name: str) -> Any:
        """Look where Python code looks."""
        return self._finder.find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """What stands in for a container was pickled as a persistent id, and is the container now."""
        return pid


class _Unheld(asyncio.Lock):
    """Becomes a lock that nobody holds: the task that held it ended with its process, and would never release it."""

    def __setstate__(self, state: object) -> None:
        self.__class__ = asyncio.Lock  # type: ignore[assignment]
        self.__init__()  # type: ignore[misc]
