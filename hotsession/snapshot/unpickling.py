"""Values from the bytes that `pickling` wrote, against the code as it is now. It knows no store and no session.

What can't be read now, because its class is gone, its module is broken or its own code raises, is parked: it stays as
bytes that are read when the code allows it. Of a dict only the items are parked that need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import pickle
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from hotsession.living.classes import living
from hotsession.living.outcome import Failed
from hotsession.living.restored import NotConverted, Restored
from hotsession.snapshot import inert
from hotsession.snapshot.changed import ChangedReader
from hotsession.snapshot.makers import by_name
from hotsession.snapshot.pickling import Heading
from hotsession.snapshot.shaped import read_shapes


class Parked(NamedTuple):
    """A part that can't be read now.

    Args:
        key: its key in the dict, pickled; None if it is the whole value.
        label: its key for people.
        why: what stands against it.
        data: its bytes, for `unpark`.
        failed: the step of the user's that raised, if it is that.
    """

    key: bytes | None
    label: str
    why: str
    data: bytes
    failed: Failed | None = None

    @property
    def stored(self) -> tuple[bytes | None, str, str, bytes]:
        """What of it outlives the process: all that it takes to try again."""
        return self[:4]


class Unpickled(NamedTuple):
    """What was read.

    Args:
        value: the value, without what is parked.
        parked: the items that could not be read.
    """

    value: Any
    parked: tuple[Parked, ...]


class Unreadable(Exception):
    """Nothing of a value can be read now.

    Args:
        parked: all of it.
    """

    def __init__(self, parked: Parked) -> None:
        super().__init__(parked.why)
        self.parked = parked


def unpickled(data: bytes) -> Unpickled:
    """The value that `pickled` gave these bytes.

    Raises:
        Unreadable: nothing of it can be read now.
    """
    try:
        return Unpickled(_load(data), ())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything; it goes into the report
        why, failed = _why(error), _failed(error)
    apart = _apart(data)
    if apart is None:
        raise Unreadable(Parked(None, "", why, data, failed))
    return apart


def unpark(parked: Parked) -> tuple[Any, Any]:
    """The key and the value of what was parked; the key is None for a whole value.

    Raises:
        Unreadable: it still can't be read.
    """
    try:
        return None if parked.key is None else _load(parked.key), _load(parked.data)
    except (Exception, SystemExit) as error:
        raise Unreadable(parked._replace(why=_why(error), failed=_failed(error))) from error


class _OtherPython(Exception):
    """Compiled code is read by the Python version that wrote it alone."""


class _Finder:
    """Finds classes and functions where Python code does: C code does not see the modules of a load under way."""

    def __init__(self) -> None:
        self.classes: dict[tuple[str, str], type] = {}

    def find(self, module: str, name: str) -> Any:
        """What goes by this name now."""
        found = by_name(module, name)
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


def _load(data: bytes) -> Any:
    heading, body = Heading.split(data)
    if heading.code and heading.python != sys.version_info.minor:
        raise _OtherPython(
            f"it holds code compiled by Python 3.{heading.python}, and this is 3.{sys.version_info.minor}"
        )
    finder, shapes = _Finder(), read_shapes(heading.shapes)
    finder.look_for(shapes)
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


def _failed(error: BaseException) -> Failed | None:
    return error.failed if isinstance(error, NotConverted) else None


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, _OtherPython) else str(error)


# Taking a dict apart


def _apart(data: bytes) -> Unpickled | None:
    """The items of a dict that can be read, the others parked; None if it is no dict, or can't be taken apart.

    Each item is tried by itself before those that can be read are read at once, so that what they share stays shared:
    a `__setstate__` may run more than once, for an object that is thrown away.
    """
    heading, body = Heading.split(data)
    try:
        tree = inert.read(body)
        empty, items = _items(tree)
        value = _load(_with_heading(heading, empty))
    except (Exception, SystemExit):  # noqa: BLE001 - then it is parked as a whole, and the first error says why
        return None
    if not isinstance(value, dict):
        return None
    good: list[tuple[Any, Any]] = []
    parked: list[Parked] = []
    for key, each in items:
        error = _unreadable(heading, key, each)
        if error is None:
            good.append((key, each))
        else:
            name, data = _with_heading(heading, key), _with_heading(heading, each)
            parked.append(Parked(name, _label(key), _why(error), data, _failed(error)))
    for key, each in _together(heading, good):
        value[key] = each
    return Unpickled(value, tuple(parked))


def _items(tree: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """A dict, or an object of a subclass of it, without its items, and the items."""
    if not isinstance(tree, inert.Made):
        return ({}, list(tree.items())) if isinstance(tree, dict) else (None, [])
    empty = inert.Made(tree.opcode, tree.make, *tree.arguments)
    empty.then = [each for each in tree.then if each[0] != pickle.SETITEMS]
    return empty, [what for opcode, what in tree.then if opcode == pickle.SETITEMS]


def _unreadable(heading: Heading, key: Any, value: Any) -> BaseException | None:
    try:
        _load(_with_heading(heading, (key, value)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything; it goes into the report
        return error
    return None


def _together(heading: Heading, items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The items, read at once so that what they share stays one object."""
    loaded: list[tuple[Any, Any]] = _load(_with_heading(heading, items))
    return loaded


def _with_heading(heading: Heading, tree: Any) -> bytes:
    """A part of the tree as bytes of its own, marked as code only if it holds some itself."""
    body = inert.written(tree)
    has_code = heading.code and b"CodeType" in body  # as which cloudpickle names the class of compiled code
    if has_code or heading.shapes:
        return bytes(heading._replace(code=has_code, stand_ins=False)) + body
    return body


def _label(key: Any) -> str:
    return f"{key!r:.80}"
