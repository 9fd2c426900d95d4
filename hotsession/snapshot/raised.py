"""How exceptions of the app's are written, so that they can be read whatever their `__init__` takes.

Pickle would have them made by calling their class with `args`, which is what `super().__init__` was given: that fails
for a class whose own `__init__` takes something else.
"""

from __future__ import annotations

import copyreg
import types
from typing import Any

_MEMBERS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def made_past_init(obj: BaseException, cls: type) -> Any:
    """How to write an exception that is to be made without `__init__`; None if that is not needed, or not enough."""
    if not any("__init__" in vars(base) for base in _own(cls)):
        return None
    if any(name in vars(base) for base in _own(cls) for name in ("__new__", "__reduce__", "__reduce_ex__")):
        return None
    if any(isinstance(each, _MEMBERS) for base in _built_in(cls) for each in vars(base).values()):
        return None  # as of OSError: `__init__` fills them
    found = obj.__reduce_ex__(5)
    if not isinstance(found, tuple):
        return None
    return (copyreg.__newobj__, (cls, *found[1]), *found[2:])  # type: ignore[attr-defined]


def _own(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__ != "builtins"]


def _built_in(cls: type) -> list[type]:
    found = [base for base in cls.__mro__ if base.__module__ == "builtins"]
    return found[: found.index(BaseException)]
