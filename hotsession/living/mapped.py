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


def follow_mapping(instance: Any, new: type) -> None:
    """Let what SQLAlchemy notes of an object be about it and class `new`, which it is of since just now.

    It is told as for an object that was unpickled: SQLAlchemy's own way for one that comes to another mapper. What has
    become another object has the notes of the one that it stands for until then.

    Raises:
        TypeError: the new class is not mapped.
    """
    state = _state_of(instance)
    if state is None:
        return
    manager = vars(new).get("_sa_class_manager")
    if manager is None:
        raise TypeError(f"{new.__qualname__} is not mapped any more")
    carried = state.__getstate__()
    carried["manager"].class_ = new
    if carried.get("key") is not None:
        carried["key"] = (manager.mapper.class_, *carried["key"][1:])
    carried["instance"] = instance
    fresh = object.__new__(type(state))
    fresh.__setstate__(carried)
    _follow_collections(instance, manager, fresh)


def _follow_collections(instance: Any, manager: Any, state: Any) -> None:
    """Let collections that an object holds tell of what is put in them where that is noted now."""
    for name, value in list((attributes_of(instance) or {}).items()):
        adapter = getattr(value, "_sa_adapter", None)
        if adapter is not None and name in manager:
            adapter.owner_state, adapter.attr = state, manager[name].impl


def _state_of(instance: object) -> Any:
    attributes = attributes_of(instance)
    return None if attributes is None else attributes.get(_STATE)
