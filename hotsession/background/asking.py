"""The public function `task`, and in which event loop what it is asked for begins."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from anyio import from_thread

from hotsession.background.board import Board, board
from hotsession.background.functions import is_coroutine_function
from hotsession.background.handle import TaskHandle
from hotsession.background.rules import ON_RELOAD, OnReload
from hotsession.background.run import Run
from hotsession.background.unbegun import MIDDLEWARE, say_if_it_never_begins
from hotsession.errors import ConfigurationError
from hotsession.registry import registry
from hotsession.snapshot.importing import is_importing

T = TypeVar("T")


def task(name: str, function: Callable[[], Coroutine[Any, Any, T]], *, on_reload: OnReload = "finish") -> TaskHandle[T]:
    """Run a coroutine function in the background, as the task of this process that is called `name`.

    One of a name runs at a time. Who asks for it again while it runs gets the one that runs; when it has ended, asking
    begins it anew. It can be called at import, in the lifespan, in a request, and in the thread of a sync endpoint.

    A reload never runs two of a name at once, and does nothing when the new code fails to load:

    * ``"finish"``: what runs goes on to its end on old code, with the services and the lifespan of that code. If the
      new code asks for the name, that begins afterwards.
    * ``"restart"``: when the new code is in place what runs is cancelled, and when it has ended the new code runs, with
      the services and the lifespan of the new code. If the new code does not ask for the name, the function of the same
      qualified name is run, with the same arguments; if there is none the task ends, and the log says so. One that
      had failed begins again too, because the save may be its fix. For loops without an end, with their state in
      `hotsession.keep` or in a session, which the cancellation leaves as the last ``await`` found it.
    * ``"keep"``: what runs goes on as if nothing had happened, on its own code, until it ends, the server ends or
      kept values are reset. What it uses should be kept as well: services and the lifespan end with their code.

    The word of the newest code that asked counts. Nothing begins while new code is loaded and its app starts up,
    but when it is in place and the `on_dispose` hooks of the old have run.

    At the end of the server, before the app's lifespan ends, all tasks are cancelled and awaited. One that does not end
    within 10 seconds of its cancellation is named in the log, with the line where it is: at a reload its successor
    waits until it has ended, however long that takes, and at the end of the server it is left behind. A task
    that fails is logged, once, with its name and traceback.

    `current_session()` is None in a task. What it changes in sessions that it got from a manager is saved at its end.

    Without `hotsession run`: what is asked for at import begins when the lifespan has started, or else with the first
    request, through `HotSessionMiddleware`. An app without it asks in its lifespan or in a request. A process reloader
    ends the process and with it all tasks, and the new process begins what its code asks for. Needs asyncio.

    Args:
        name: what the task is called.
        function: a coroutine function without arguments; `functools.partial` gives it some.
        on_reload: what a reload means for it.

    Returns:
        The run: ``await`` gives its result. In the start-up of new code that is an error, because it has not begun.

    Raises:
        ConfigurationError: code of the same version runs another function, or the same with other arguments, by that
            name; or an argument is of no use; or the event loop is not asyncio's.

    Example::

        steps = hotsession.keep("steps", list)

        async def agent() -> None:
            while True:
                steps.append(await next_step(steps))

        hotsession.task("agent", agent, on_reload="restart")
    """
    _check(name, function, on_reload)
    if sys._getframe(1).f_globals.get("__name__") == "__mp_main__":
        # As in `keep`: a reloader's worker runs the program's main file once by this name, and serves another copy.
        return _never_begun(name, function, on_reload)
    tasks = board()
    loop = None if registry.transaction is not None else _loop(tasks)
    handle: TaskHandle[T] = tasks.ask(name, function, on_reload, loop)
    if loop is None and registry.transaction is None and function.__module__ != "__main__":
        say_if_it_never_begins(handle)
    return handle


def _check(name: str, function: object, on_reload: object) -> None:
    if on_reload not in ON_RELOAD:
        raise ConfigurationError(f"on_reload={on_reload!r}: it is 'finish', 'restart' or 'keep'")
    if inspect.iscoroutine(function):
        function.close()
        raise ConfigurationError(
            f"task {name!r} needs the coroutine function, and got a coroutine: give it {function.__name__}, and "
            f"not {function.__name__}(); functools.partial({function.__name__}, ...) where it takes arguments"
        )
    if not is_coroutine_function(function):
        raise ConfigurationError(
            f"task {name!r} needs a coroutine function (async def), and got {function!r}: "
            "what blocks is run in a thread by one, with asyncio.to_thread"
        )


def _never_begun(name: str, function: Callable[[], Any], on_reload: OnReload) -> TaskHandle[Any]:
    run = Run(name, function, on_reload, None, lambda run: None)
    run.handle = TaskHandle(run)
    return run.handle


def _loop(tasks: Board) -> asyncio.AbstractEventLoop | None:
    """Where to begin what the calling code asks for; None where that has to wait."""
    running = running_loop()
    if running is None:
        return tasks.home or _loop_of_thread()
    if tasks.home is running:
        return running
    running.call_soon(_open_unless_middleware, tasks, running)
    return None if is_importing() else running


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does.

    Raises:
        ConfigurationError: it is trio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            raise ConfigurationError(
                "hotsession.task needs asyncio, and this is trio: run it in a nursery of the lifespan"
            ) from None
        return None


def _loop_of_thread() -> asyncio.AbstractEventLoop | None:
    """The event loop that a thread of anyio's, as sync endpoints run in, belongs to."""
    try:
        return from_thread.run_sync(running_loop)
    except RuntimeError:  # no thread of anyio's
        return None


def _open_unless_middleware(tasks: Board, loop: asyncio.AbstractEventLoop) -> None:
    """After the import: begin what was asked for, unless the app has what begins it when its lifespan has started."""
    if tasks.home is None and MIDDLEWARE not in sys.modules:
        tasks.open(loop)
