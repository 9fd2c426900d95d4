"""Reads a pickle whose classes have another shape now than when it was written. Slower than pickle itself.

State goes into objects whatever their class gives room for now: what has none is kept aside, and named tuples are made
of the fields that they have now. The rest of the rules is `hotsession.living`'s.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

from hotsession.living.asides import GIVEN
from hotsession.living.classes import living
from hotsession.living.defaults import default_of, fill_in
from hotsession.living.fields import settled
from hotsession.living.restored import Restored
from hotsession.living.shapes import WRITERS, Shape, is_model, shape_of
from hotsession.living.state import forget_hash, state_of, take
from hotsession.snapshot.makers import fill_slots, fill_with_aside, fill_without, tuple_with_aside

_MODELS = "pydantic.main"  # whose `__setstate__` expects what it notes of a model

_load_reduce: Any = pickle._Unpickler.dispatch[pickle.REDUCE[0]]


class ChangedReader(pickle._Unpickler):
    """An unpickler that brings objects to classes of another shape.

    Args:
        file: what is read.
        find: finds a class or function by module and name.
        restored: which classes have another shape.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, file: Any, find: Any, restored: Restored) -> None:
        super().__init__(file)
        self._find = find
        self._changed: Mapping[type, Shape] = restored.changed

    def find_class(self, module: str, name: str) -> Any:
        """Whatever goes by this name now."""
        return self._find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """What stood in for a container is that container."""
        return pid

    def load_newobj(self) -> None:
        """An object made past `__init__`."""
        arguments = self.stack.pop()
        cls = self.stack.pop()
        if isinstance(cls, type) and issubclass(cls, tuple) and cls in self._changed:
            self.stack.append(_named_tuple(cls, self._changed[cls], arguments, {}))
        else:
            self.stack.append(cls.__new__(cls, *arguments))

    def load_build(self) -> None:
        """The state of an object."""
        state = self.stack.pop()
        self._build(self.stack[-1], state)

    def load_reduce(self) -> None:
        """What is called. Objects of which something was kept aside, or lost, have it before they are settled."""
        arguments = self.stack[-1]
        if self.stack[-2] is tuple_with_aside and (old := self._changed.get(arguments[0])) is not None:
            cls, values, aside = self.stack.pop()
            self.stack[-1] = _named_tuple(cls, old, values, aside)
            return
        if self.stack[-2] not in (fill_with_aside, fill_without) or arguments[1][2] is not None:
            _load_reduce(self)
            return
        fill = self.stack[-2]
        instance, (state, more, _) = arguments
        if fill is fill_with_aside:
            fill(instance, (None, more, None))
            more = living().asides.of(instance)
        if state is not None:
            self._build(instance, state)
        elif (old := self._changed.get(type(instance))) is not None:
            _settle(instance, old)
        if fill is fill_without:
            fill_in(instance, more)
        del self.stack[-1]
        self.stack[-1] = None

    def _build(self, instance: Any, state: Any) -> None:
        setter = getattr(type(instance), "__setstate__", None)
        is_of_model = isinstance(state, dict) and GIVEN in state
        if is_of_model and not is_model(type(instance)):
            state = {**state, **state["__dict__"]}
            del state["__dict__"]
        writer = getattr(setter, "__module__", None)
        if setter is not None and writer not in WRITERS and (writer != _MODELS or is_of_model):
            setter(instance, state)
            return
        old = self._changed.get(type(instance))
        self._fill(instance, state, setter, old)
        if old is not None:
            _settle(instance, old)  # at once: it may be the key of a dict, which asks for its hash

    def _fill(self, instance: Any, state: Any, setter: Any, old: Shape | None) -> None:
        if isinstance(state, list) and old is not None and old.fields is not None:
            state = dict(zip(old.fields, state, strict=True))  # of a dataclass that is frozen and has slots
        elif isinstance(state, list) and setter is not None:
            setter(instance, state)
            return
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in parts:
            fill_slots(instance, part or {})

    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.REDUCE[0]] = load_reduce


def _settle(instance: Any, old: Shape) -> None:
    """Bring the attributes of an object to the shape that its class has now."""
    cls, asides = type(instance), living().asides
    made = settled(
        state_of(instance), old, shape_of(cls), asides.of(instance), lambda name: default_of(cls, name, instance)
    )
    fill_slots(instance, made.put)
    for name in made.gone:
        take(instance, name)
    forget_hash(instance)
    asides.put(instance, made.aside)


def _named_tuple(cls: Any, old: Shape, values: tuple[Any, ...], aside: Mapping[str, Any]) -> Any:
    new = shape_of(cls)
    if old.fields is None or new.fields is None:
        return tuple_with_aside(cls, values, {**aside}) if aside else cls.__new__(cls, *values)
    state = dict(zip(old.fields, values, strict=True))
    made = settled(state, old, new, aside, lambda name: default_of(cls, name, None))
    if made.missing:
        raise ValueError(f"{cls.__qualname__} has new fields without a default: {', '.join(made.missing)}")
    state |= made.put
    found = tuple.__new__(cls, [state[name] for name in new.fields])
    living().asides.put(found, made.aside)
    return found
