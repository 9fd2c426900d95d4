"""Objects that SQLAlchemy has mapped: what it notes of them has to follow their class as well.

It imports nothing of SQLAlchemy: an object that has what is looked for has it imported.
"""

from __future__ import annotations

from typing import Any

from hotsession.living.state import attributes_of

_STATE = "_sa_instance_state"


def is_attached(instance: object) -> bool:
    """Whether an object belongs to a database session that is open: what is loaded there is of the old classes."""
    state = _state_of(instance)
    return state is not None and state.session_id is not None and state.session is not None


def follow_mapping(instance: Any, old: type, new: type) -> None:
    """Let what SQLAlchemy notes of an object, which has just become one of class `new`, be about that class.

    It is told as for an object that was unpickled: SQLAlchemy's own way for one that comes to another mapper.

    Raises:
        TypeError: the new class is not mapped; the object is as it was.
    """
    state = _state_of(instance)
    if state is None:
        return
    manager = vars(new).get("_sa_class_manager")
    if manager is None:
        object.__setattr__(instance, "__class__", old)
        raise TypeError(f"{new.__qualname__} is not mapped any more")
    carried = state.__getstate__()
    carried["manager"].class_ = new
    if carried.get("key") is not None:
        carried["key"] = (manager.mapper.class_, *carried["key"][1:])
    fresh = object.__new__(type(state))
    fresh.__setstate__(carried)


def _state_of(instance: object) -> Any:
    attributes = attributes_of(instance)
    return None if attributes is None else attributes.get(_STATE)
