"""What the log says of a reload, in words. Pure."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hotsession.errors import HotsessionError
from hotsession.events import LoadFailed, Reloaded

_HOTSESSION = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_MOST_NAMES = 4  # a line names this many and counts the rest


def reloaded_line(event: Reloaded) -> str:
    """The one line about a reload that worked."""
    parts = [f"Reloaded {_names(event.modules)} in {event.seconds * 1000:.0f} ms"]
    if event.removed:
        parts.append(f"removed {_names(event.removed)}")
    parts.append(_services(event.services))
    parts.append(_preserved(event))
    if event.replaced:
        parts.append(f"built anew: {', '.join(event.replaced)}")  # all of them: this is state that was dropped
    if event.stale:
        cure = event.stale[0] if len(event.stale) == 1 else "NAME"
        parts.append(
            f"{_names(event.stale)} kept although the code that builds it changed: "
            f"`hotsession reset {cure}` or r + Enter builds it anew"
        )
    parts += _objects(event)
    if event.tasks:
        parts.append(f"tasks: {_names(event.tasks)}")
    if event.carried:
        parts.append(f"{_connections(event.carried)} carried over")
    if event.closed:
        parts.append(f"{_connections(event.closed)} closed")
    if event.busy:
        parts.append(f"old code still has work: {_names(event.busy)}")
    if event.failures:
        parts.append(f"failed on the way: {_names([failure.what for failure in event.failures])}")
    return "; ".join(parts) + "."


def _objects(event: Reloaded) -> list[str]:
    """What became of objects in kept values."""
    converted = [f"{count} {name}" for name, count in event.converted.items()]
    parts = [f"converted in kept values: {_names(converted)}"] if converted else []
    return parts + ([f"left as they were: {_names(event.left)}"] if event.left else [])


def _services(services: Mapping[str, int]) -> str:
    if not services:
        return "no services were live"
    named = [f"{name} ×{count}" if count > 1 else name for name, count in services.items()]
    return f"service cache cleared ({_names(named)})"


def _preserved(event: Reloaded) -> str:
    sessions = [f"{count} in {name!r}" for name, count in event.sessions.items() if count]
    preserved = f"sessions preserved ({_names(sessions)})" if sessions else "no sessions yet"
    return f"{preserved}, kept {_names(event.kept)}" if event.kept else preserved


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _names(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


_WHAT_FAILED = {
    "import": "code could not be imported",
    "start-up": "app could not start up",
}


def failed_lines(event: LoadFailed, owns: Callable[[str], bool], *, serving: int | None) -> str:
    """What the log says of an attempt that failed: what, what goes on, and the error with the user's own frames on top.

    Args:
        event: what failed.
        owns: whether a file is the user's own.
        serving: number of the generation that goes on serving; None when there is none.
    """
    what, goes_on = f"Not reloaded: the new {_WHAT_FAILED[event.stage]}", "What ran before goes on serving"
    if serving is None:
        what, goes_on = f"Not started: the {_WHAT_FAILED[event.stage]}", "Nothing serves yet"
    head = f"{what}. {goes_on}; the next save tries again."
    return f"{head}\n{error_text(event.error, owns)}".rstrip()


def error_text(error: BaseException, owns: Callable[[str], bool]) -> str:
    """An error as the user wants to see it: own frames first, the error, then in a line where others raised it.

    Args:
        error: the exception.
        owns: whether a file is the user's own.
    """
    return "".join(_error_lines(error, owns, set())).rstrip()


def _error_lines(error: BaseException, owns: Callable[[str], bool], shown: set[int]) -> list[str]:
    """The lines of an error and of what it came from; errors can be raised from each other in a circle."""
    shown.add(id(error))
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_machinery(each.filename, owns)]
    own = [frame for frame in frames if owns(frame.filename)]
    lines = traceback.format_list(own) + _headline(error)
    if frames and not own and not isinstance(error, HotsessionError):  # whose message says all
        lines += traceback.format_list(frames[-3:])
    elif own and frames[-1] is not own[-1]:
        lines.append(f"  (raised in {frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})\n")
    if isinstance(error, SystemExit):
        lines.append("A module called sys.exit(): under hotsession the process stays.\n")
    for label, further in _further(error):
        if id(further) not in shown:
            lines += [f"{label}:\n", *_error_lines(further, owns, shown)]
    return lines


def _headline(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):  # Python would show all that is in it, with everybody's frames
        return [f"{type(error).__name__}: {error}\n"]
    return traceback.format_exception_only(error)


def _further(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """The errors in a group, and what an error was raised from."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield "In it", each
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield "Caused by", cause


def _is_machinery(filename: str, owns: Callable[[str], bool]) -> bool:
    """Whether frames of this file only say how code came to be run by us."""
    return filename.startswith(("<frozen importlib", _HOTSESSION)) and not owns(filename)


def pending_line(names: Sequence[str], number: int, seconds: float) -> str:
    """What the log says when old code has worked for long after it was replaced."""
    return f"Generation {number}, replaced {seconds:.0f} s ago, still has work: {_names(names)}."


def merged(first: Reloaded, then: Reloaded) -> Reloaded:
    """Two swaps of one burst as one report."""
    return replace(
        then,
        modules=tuple(dict.fromkeys((*first.modules, *then.modules))),
        removed=tuple(dict.fromkeys((*first.removed, *then.removed))),
        services={**first.services, **then.services},
        replaced=tuple(dict.fromkeys((*first.replaced, *then.replaced))),
        stale=tuple(dict.fromkeys((*first.stale, *then.stale))),
        tasks=tuple(dict.fromkeys((*first.tasks, *then.tasks))),
        carried=max(first.carried, then.carried),
        closed=first.closed + then.closed,
        failures=(*first.failures, *then.failures),
        converted={
            name: first.converted.get(name, 0) + then.converted.get(name, 0)
            for name in (*first.converted, *then.converted)
        },
        left=tuple(dict.fromkeys((*first.left, *then.left))),
        seconds=first.seconds + then.seconds,
    )
