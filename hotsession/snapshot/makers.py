"""What the pickles of `references` name to have things made. The names are in stored bytes: they stay as they are."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import types
from typing import Any

from hotsession.living import generics
from hotsession.living.asides import NOTES
from hotsession.living.classes import living
from hotsession.living.defaults import fill_in
from hotsession.living.layouts import member_named
from hotsession.living.lookup import MISSING, by_dotted_name, moved_name
from hotsession.living.shapes import fields_of
from hotsession.living.state import put, state_of

_MAIN = ("__mp_main__", "__main__")  # the first is there in a spawned process alone, and is the main module then


def by_name(module: str, name: str) -> Any:
    """The class or function that a module now has under a dotted name."""
    try:
        found: Any = _main(name) if module in _MAIN else importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = _moved(f"{module}.{name}")
        if found is MISSING:
            raise
    return found


def _moved(name: str) -> Any:
    """What users told that a name is now, if they did."""
    now = moved_name(name, living().moves)
    if now == name:
        return MISSING
    module = now.rpartition(".")[0]
    while module and module not in sys.modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
        module = module.rpartition(".")[0]
    return by_dotted_name(now)


def _main(name: str) -> types.ModuleType:
    """The program's main module. A process that multiprocessing has spawned has it under another name."""
    mains = [sys.modules[each] for each in _MAIN if each in sys.modules]
    return next((each for each in mains if hasattr(each, name.partition(".")[0])), mains[0])


def make_function(code: types.CodeType, module: str, closure: tuple[Any, ...] | None) -> types.FunctionType:
    """A function of its own code that looks up its globals in the module as it is now."""
    known = _main("__name__") if module in _MAIN else importlib.import_module(module)
    return types.FunctionType(code, known.__dict__, code.co_name, None, closure)


def fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Give a function from `make_function` its defaults and attributes."""
    function.__dict__.update(state.pop("__dict__"))
    for name, value in state.items():
        setattr(function, name, value)


def make_lock() -> asyncio.Lock:
    """A lock that nobody holds: no task of the process that reads it does."""
    return asyncio.Lock()


def make_cell() -> types.CellType:
    """An empty cell of a closure."""
    return types.CellType()


def fill_cell(cell: types.CellType, state: tuple[Any]) -> None:
    """Give a cell its contents, which may refer to the function that the cell belongs to."""
    (cell.cell_contents,) = state


def with_arguments(origin: Any, arguments: tuple[Any, ...]) -> Any:
    """A pydantic model that was given parameters."""
    return generics.with_arguments(origin, arguments)


def fill_slots(instance: object, state: dict[str, Any]) -> None:
    """Set attributes past a `__setattr__` or `__setstate__` of the class; what has no room now is kept aside."""
    no_room = {name: value for name, value in state.items() if not put(instance, name, value)}
    if no_room:
        asides = living().asides
        asides.put(instance, asides.of(instance) | no_room)


def fill_with_aside(instance: object, state: tuple[Any, dict[str, Any], Any]) -> None:
    """Give an object its state, and have kept aside what was kept aside of it."""
    given, aside, setter = state
    if given is not None:
        fill_without(instance, (given, (), setter))
    if fields_of(type(instance)) is None:
        had = state_of(instance)
        stays = NOTES | had.keys()
        aside = {name: value for name, value in aside.items() if name in stays or not put(instance, name, value)}
    asides = living().asides
    asides.put(instance, asides.of(instance) | aside)


def tuple_with_aside(cls: Any, values: tuple[Any, ...], aside: dict[str, Any]) -> Any:
    """A named tuple, of which something is kept aside."""
    found = tuple.__new__(cls, values)
    living().asides.put(found, aside)
    return found


def member_by_name(cls: Any, name: str, value: Any, undone: dict[str, str] | None = None) -> Any:
    """The member of an Enum that has this name now, or the one that it had before a rename that is undone."""
    return member_named(cls, name, value, undone)


def fill_without(instance: object, state: tuple[Any, tuple[str, ...], Any]) -> None:
    """Give an object its state as pickle does, and the defaults of the attributes that could not come with it."""
    given, missing, setter = state
    if setter is not None:
        setter(instance, given)
    elif (own := getattr(instance, "__setstate__", None)) is not None:
        own(given)
    else:
        attributes, slots = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        if attributes:
            instance.__dict__.update(attributes)
        for name, value in (slots or {}).items():
            setattr(instance, name, value)
    fill_in(instance, missing)
