"""Functions of the app that are told of a moment in the life of sessions. Knows no manager and no storage."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from hotsession.errors import HookFailed
from hotsession.lifecycle import wording
from hotsession.lifecycle.session import Session

F = TypeVar("F", bound=Callable[[Session], Any])

logger = logging.getLogger("hotsession")


class Hook:
    """The functions for one moment, and the decorator that adds one.

    A function belongs to its module: it is called as long as that is loaded, and when the module is loaded anew, what
    the new code says takes its place.

    Args:
        moment: what it is called: ``"on_pause"``.
    """

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self._functions: list[Callable[[Session], Any]] = []

    def __repr__(self) -> str:
        return f"<{self.moment} {[name_of(each) for each in self._functions]}>"

    def __call__(self, function: F) -> F:
        """Have `function`, which may be a coroutine function, called with the session from now on."""
        kept = [each for each in self._functions if not _replaces(function, each)]
        self._functions = [*(each for each in kept if not _is_gone(each)), function]
        return function

    def __bool__(self) -> bool:
        return bool(self._functions) and bool(self._current())

    async def call(self, session: Session) -> None:
        """Call the functions, in the order in which they were added, until one fails.

        Raises:
            HookFailed: one raised; those behind it were not called.
        """
        for function in self._current():
            try:
                result = function(session)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                raise _failed(self.moment, function, session, error) from error

    async def tell(self, session: Session) -> None:
        """Call the functions, all of them whatever happens; what fails is logged."""
        for function in self._current():
            try:
                result = function(session)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                logger.exception("%s", _failed(self.moment, function, session, error))

    def _current(self) -> list[Callable[[Session], Any]]:
        return [each for each in self._functions if not _is_gone(each)]


def name_of(function: Callable[..., Any]) -> str:
    """A function as messages call it."""
    name = getattr(function, "__qualname__", None)
    return repr(function) if name is None else f"{function.__module__}.{name}"


def _failed(moment: str, function: Callable[..., Any], session: Session, error: Exception) -> HookFailed:
    name, record = name_of(function), session.record
    outcome = f"the session stays {record.status}" if record.version else "it was not made"
    return HookFailed(
        f"the {moment} hook {name} failed for session {wording.short(record.id)} of {wording.owner(record.key)}: "
        f"{type(error).__name__}: {error}; {outcome}",
        hook=name,
        id=record.id,
        key=record.key,
        status=record.status,
    )


def _replaces(function: Callable[..., Any], before: Callable[..., Any]) -> bool:
    """Whether a function is the one that was there before, as its module is run again."""
    if function == before:
        return True
    name = getattr(function, "__qualname__", "<")
    if "<" in name or hasattr(function, "__self__"):  # several functions may be called so
        return False
    return (function.__module__, name) == (before.__module__, getattr(before, "__qualname__", ""))


def _is_gone(function: Callable[..., Any]) -> bool:
    """Whether a function's module was loaded anew since, so that it is not the code that runs now."""
    plain = inspect.unwrap(getattr(function, "__func__", function))
    code, module = getattr(plain, "__globals__", None), sys.modules.get(getattr(plain, "__module__", ""))
    return code is not None and module is not None and vars(module) is not code
