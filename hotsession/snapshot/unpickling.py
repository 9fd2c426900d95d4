"""Values from the bytes that `pickling` wrote, against the code as it is now. It knows no store and no session.

What can't be read now, because its class is gone, its module is broken or its own code raises, is parked: it stays as
bytes that are read when the code allows it. Of a dict only the items are parked that need it, all in the same bytes:
what they share is one object again when they return at the same time.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from hotsession.living.outcome import Failed
from hotsession.living.restored import NotConverted
from hotsession.snapshot import inert
from hotsession.snapshot.pickling import Heading
from hotsession.snapshot.reading import OtherPython, load

Item = tuple[Any, Any]
"""A key and its value; read, or as `inert` has them."""


class Parked(NamedTuple):
    """A part that can't be read now.

    Args:
        key: its key in the dict, pickled; None if it is the whole value.
        label: its key for people.
        why: what stands against it.
        data: its bytes, for `unpark`: those of a list of items if `at` says which of them it is.
        at: its number among the items that were parked at the same time; None if the bytes are its own.
        mark: is the same for the same content, whatever else was parked with it.
        failed: the step of the user's that raised, if it is that.
    """

    key: bytes | None
    label: str
    why: str
    data: bytes
    at: int | None = None
    mark: bytes = b""
    failed: Failed | None = None

    @property
    def identity(self) -> tuple[bytes | None, bytes]:
        """What tells it from others that were parked of the same value."""
        return self.key, self.mark or self.data

    @property
    def stored(self) -> tuple[bytes | None, str, str, bytes, int | None, bytes]:
        """What of it outlives the process: all that it takes to try again."""
        return self[:6]

    def because(self, error: BaseException) -> Parked:
        """The same, parked for what was raised now."""
        return self._replace(why=_why(error), failed=_failed(error))


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
        return Unpickled(load(data), ())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything; it goes into the report
        whole = Parked(None, "", "", data).because(error)
    apart = _apart(data)
    if apart is None:
        raise Unreadable(whole)
    return apart


def unpark(parked: Parked) -> Item:
    """The key and the value of what was parked; the key is None for a whole value.

    Raises:
        Unreadable: it still can't be read.
    """
    (found,) = unparked([parked])
    if isinstance(found, Parked):
        raise Unreadable(found)
    return found


def unparked(parked: Sequence[Parked]) -> list[Item | Parked]:
    """What became of each of some that were parked: key and value if it can be read now, else why it still can't.

    Those that were parked at the same time are read at once, so that what they share is one object.
    """
    found: dict[int, Item | Parked] = {}
    together: dict[bytes, list[int]] = {}
    for number, each in enumerate(parked):
        if each.at is None:
            found[number] = _alone(each)
        else:
            together.setdefault(each.data, []).append(number)
    for data, numbers in together.items():
        found.update(zip(numbers, _of_a_list(data, [parked[number] for number in numbers]), strict=True))
    return [found[number] for number in range(len(parked))]


def _alone(parked: Parked) -> Item | Parked:
    try:
        return None if parked.key is None else load(parked.key), load(parked.data)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        return parked.because(error)


def _of_a_list(data: bytes, parked: Sequence[Parked]) -> list[Item | Parked]:
    """The same for those whose bytes are `data`."""
    heading, body = Heading.split(data)
    items = inert.read(body)
    wanted = [items[each.at] for each in parked]
    errors: list[BaseException | None] = [None] * len(wanted)
    try:
        read = iter(_at_once(heading, wanted))
    except (Exception, SystemExit):  # noqa: BLE001 - as above; which of them it is must be found out
        errors = [_unreadable(heading, item) for item in wanted]
        good = [item for item, error in zip(wanted, errors, strict=True) if error is None]
        try:
            read = iter(_at_once(heading, good))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above: together it is none of them
            return [each.because(error) for each in parked]
    return [next(read) if error is None else each.because(error) for each, error in zip(parked, errors, strict=True)]


def _failed(error: BaseException) -> Failed | None:
    """The user's step that raised, and the path to its object below the value, if it is that."""
    if not isinstance(error, NotConverted) or error.failed is None:
        return None
    return replace(error.failed, path=error.failed.path.removeprefix("[0]"))  # as what is converted is in a list


def _why(error: BaseException) -> str:
    if isinstance(error, OtherPython):
        return str(error)
    failed = _failed(error)
    return f"{type(error).__name__}: {error if failed is None else NotConverted(failed)}"


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
        value = load(_with_heading(heading, empty))
        if not isinstance(value, dict):
            return None
        errors = [_unreadable(heading, item) for item in items]
        good = [item for item, error in zip(items, errors, strict=True) if error is None]
        for key, each in _at_once(heading, good):
            value[key] = each
    except (Exception, SystemExit):  # noqa: BLE001 - then it is parked as a whole, and the first error says why
        return None
    bad = [(item, error) for item, error in zip(items, errors, strict=True) if error is not None]
    together = _with_heading(heading, [item for item, _ in bad])
    return Unpickled(
        value, tuple(_parked(heading, item, together, at).because(error) for at, (item, error) in enumerate(bad))
    )


def _parked(heading: Heading, item: Item, together: bytes, at: int) -> Parked:
    mark = blake2b(_with_heading(heading, item), digest_size=16).digest()
    return Parked(_with_heading(heading, item[0]), f"{item[0]!r:.80}", "", together, at, mark)


def _items(tree: Any) -> tuple[Any, list[Item]]:
    """A dict, or an object of a subclass of it, without its items, and the items."""
    if not isinstance(tree, inert.Made):
        return ({}, list(tree.items())) if isinstance(tree, dict) else (None, [])
    empty = inert.Made(tree.opcode, tree.make, *tree.arguments)
    empty.then = [each for each in tree.then if each[0] != pickle.SETITEMS]
    return empty, [what for opcode, what in tree.then if opcode == pickle.SETITEMS]


def _unreadable(heading: Heading, item: Item) -> BaseException | None:
    """What reading an item raises."""
    try:
        load(_with_heading(heading, item[0]))
        load(_with_heading(heading, item[1]))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything; it goes into the report
        return error
    return None


def _at_once(heading: Heading, items: list[Item]) -> list[Item]:
    """The items, read at once so that what they share stays one object."""
    read: list[Item] = load(_with_heading(heading, items))
    return read


def _with_heading(heading: Heading, tree: Any) -> bytes:
    """A part of the tree as bytes of its own, marked as code only if it holds some itself."""
    body = inert.written(tree)
    has_code = heading.code and b"CodeType" in body  # as which cloudpickle names the class of compiled code
    if has_code or heading.shapes:
        return bytes(heading._replace(code=has_code, stand_ins=False)) + body
    return body
