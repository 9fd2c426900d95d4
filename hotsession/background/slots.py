"""What there is by one name: a run that goes on, and one that waits for its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotsession.background.handle import TaskHandle
from hotsession.background.rules import OnReload
from hotsession.background.run import Function, Run


class Slot:
    """What there is by one name.

    Attributes:
        running: the run that goes on, or is about to.
        next: the run that waits for its end, for the event loop, or for the end of the swap.
        failed: the function of a run of the current generation that failed and is to be restarted at the next swap.
    """

    __slots__ = ("failed", "next", "running")

    def __init__(self) -> None:
        self.running: Run | None = None
        self.next: Run | None = None
        self.failed: Function | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing goes by the name."""
        return self.running is None and self.next is None and self.failed is None

    def __repr__(self) -> str:
        return f"<Slot running={self.running} next={self.next} failed={self.failed is not None}>"


def new_run(
    name: str,
    function: Function,
    on_reload: OnReload,
    scope: Any,
    on_end: Callable[[Run], None],
    *,
    inferred: bool = False,
) -> Run:
    """A run with a handle of its own; the arguments are those of `Run`.

    Args:
        inferred: no code asked for it.
    """
    run = Run(name, function, on_reload, scope, on_end)
    run.handle, run.is_inferred = TaskHandle(run), inferred
    return run


def drop(run: Run | None) -> None:
    """Let a run that waits never begin."""
    if run is not None:
        run.land("cancelled")
