"""Session managers, as they are made for `hotsession.sessions`, and told what later calls say about them."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TypedDict

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.codec import Codec
from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.manager import Reuse, SessionManager
from hotsession.registry import registry
from hotsession.snapshot.opening import carrier
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage
from hotsession.surroundings.workers import worker_count

logger = logging.getLogger("hotsession")


class Said(TypedDict):
    """What a call says about a manager, besides its storage."""

    idle_timeout: float | None
    max_age: float | None
    reuse: Reuse | None
    grace: float | None
    codec: Codec | None
    types: tuple[type, ...]


def make_manager(name: str, chosen: Storage, said: Said, *, is_given: bool) -> SessionManager:
    """A manager with what was said about it.

    Args:
        name: of it.
        chosen: the storage of its sessions.
        said: about it.
        is_given: whether the app gave the storage.
    """
    _given_in()[name] = _generation() if is_given else 0
    carried = carrier()
    if carried is not None and isinstance(chosen, MemoryStorage):
        chosen.back(name, carried.records)
    if carried is None and isinstance(chosen, MemoryStorage):
        _warn_of_other_workers(name)
    manager = SessionManager(name, storage=chosen)
    manager.configure(**said)
    return manager


def check_storage(manager: SessionManager, given: Storage) -> None:
    """Refuse another storage, unless it is what reloaded code made anew in the place where it made the first one.

    Raises:
        ConfigurationError: it is another one.
    """
    generation = _generation()
    if 0 < _given_in().get(manager.name, 0) < generation and type(given).__name__ == type(manager.storage).__name__:
        told: set[tuple[str, int]] = registry.object("told of new storages", set)
        if (manager.name, generation) not in told:
            told.add((manager.name, generation))
            logger.warning(
                "The sessions %r stay in the storage that they had before the reload, and not in the new one that the "
                "code made: make it with hotsession.storage(%r), which outlives reloads.",
                manager.name,
                manager.name,
            )
        return
    raise ConfigurationError(
        f"the sessions {manager.name!r} are in {manager.storage!r}, and {given!r} is another storage: give the same "
        f"one each time, for example hotsession.storage({manager.name!r}), which outlives reloads; or use another name"
    )


def configure(manager: SessionManager, said: Said) -> None:
    """Have what a later call said count, from now on or when the code that said it is in place."""
    Limits().changed(idle_timeout=said["idle_timeout"], max_age=said["max_age"])  # raises here what is wrong with them
    count = partial(manager.configure, **said)
    transaction = registry.transaction
    if transaction is None:
        count()
    else:
        transaction.on_commit.append(count)


def _warn_of_other_workers(name: str) -> None:
    """Say it once where other processes of the same server have sessions of their own by this name."""
    told: set[int] = registry.object("told of other workers", set)
    if os.getpid() in told or (workers := worker_count()) == 1:
        return
    told.add(os.getpid())
    logger.warning(
        "The sessions %r are in the memory of this process, one of %d workers: each would have sessions of its own. "
        'Store them where all find them, with storage=hotsession.open_storage("sqlite:///sessions.db"), or run one '
        "worker.",
        name,
        workers,
    )


def _given_in() -> dict[str, int]:
    """In which generation of the code a manager was given its storage; 0 where it was given none."""
    found: dict[str, int] = registry.object("storages given in", dict)
    return found


def _generation() -> int:
    return int(getattr(registry.scope, "number", 0))
