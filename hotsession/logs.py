"""Lets the lines of the logger ``hotsession`` look like uvicorn's and go where uvicorn's go, or at least somewhere."""

from __future__ import annotations

import logging


def follow_uvicorn() -> None:
    """Give the logger ``hotsession`` the handlers and the level of uvicorn's, as ``--log-config`` and so on left them.

    To be called after `uvicorn.Config` was made, which configures logging. A logging configuration of the user's that
    names ``hotsession`` itself stays as it is.
    """
    ours, theirs = logging.getLogger("hotsession"), logging.getLogger("uvicorn.error")
    if ours.handlers or ours.level:
        return
    ours.setLevel(theirs.getEffectiveLevel())
    ours.propagate = _reaches_root(theirs)
    ours.handlers = _handlers_below_root(theirs)


def be_heard() -> None:
    """Follow uvicorn if it runs; under another server write to stderr, as long as nobody handles our lines.

    Without it they were lost: Python shows no line below WARNING that has no handler.
    """
    ours = logging.getLogger("hotsession")
    if logging.getLogger("uvicorn").handlers:
        follow_uvicorn()
    elif not ours.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(message)s"))
        handler.addFilter(lambda record: not logging.getLogger().handlers)  # logging was configured later
        ours.addHandler(handler)
        ours.setLevel(ours.level or logging.INFO)


def stay_audible() -> None:
    """Undo what a `logging.config.dictConfig` of the user's does to loggers it does not name, unless told otherwise.

    It disables them, and with them every line about reloads and what went wrong.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] == "hotsession" and isinstance(logger, logging.Logger):
            logger.disabled = False


def _line_up(logger: logging.Logger) -> list[logging.Logger]:
    """The logger and those above it that see its records."""
    found = [logger]
    while logger.propagate and logger.parent is not None:
        logger = logger.parent
        found.append(logger)
    return found


def _reaches_root(logger: logging.Logger) -> bool:
    return _line_up(logger)[-1] is logging.getLogger()


def _handlers_below_root(logger: logging.Logger) -> list[logging.Handler]:
    root = logging.getLogger()
    return [handler for each in _line_up(logger) if each is not root for handler in each.handlers]
