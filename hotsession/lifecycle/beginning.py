"""What a new session starts with: a dict, or a function that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Data: TypeAlias = dict[str, Any]
DataSource: TypeAlias = Data | Callable[[], Data] | Callable[[], Awaitable[Data]]


async def first_data(source: DataSource | None) -> Data:
    """The dict that `source` is or makes; a new one, except that what a function made is taken as it is.

    Raises:
        TypeError: it is no dict.
    """
    if source is None:
        return {}
    made: Any = source() if callable(source) else dict(source) if isinstance(source, dict) else source
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(made, dict):
        said = f"{getattr(source, '__qualname__', source)}() returned" if callable(source) else "data= is"
        raise TypeError(f"a session starts with a dict, and {said} {made!r}")
    return made
