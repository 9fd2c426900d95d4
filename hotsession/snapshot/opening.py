"""Whether anything is carried over a restart of this process, decided once; if so, the snapshot is opened.

It is the way in for everybody, and imports what the snapshot needs only where there is one.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from hotsession.errors import ConfigurationError
from hotsession.logs import be_heard
from hotsession.registry import registry
from hotsession.reloaders import RUN
from hotsession.snapshot.decision import SWITCH, decide

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

logger = logging.getLogger("hotsession")


def carrier() -> Carrier | None:
    """The carrier of this process, opened when it is first asked for; None where nothing is carried over."""
    found: Carrier | None = registry.object("carrier", _open)
    return found


def _open() -> Carrier | None:
    try:
        decision = decide()
    except ConfigurationError as error:  # of the environment; it must not take the app down
        be_heard()
        logger.error("%s. Nothing is carried over a restart", error)
        return None
    if not decision.on or decision.server is None or _is_test():
        if decision.tell:
            be_heard()
            logger.info("%s", decision.why)
        return None
    be_heard()
    # In production nothing of this is even imported.
    from hotsession import bytecode
    from hotsession.snapshot.carrier import Carrier
    from hotsession.snapshot.errors import SnapshotUnusable
    from hotsession.snapshot.janitor import remove_when_ended
    from hotsession.snapshot.place import PlaceUnusable, open_place
    from hotsession.snapshot.store import open_store

    try:
        place = open_place(decision.server, decision.lasting)
        store = open_store(place.directory, server=str(decision.server) if place.lasting else None)
    except (PlaceUnusable, SnapshotUnusable) as error:
        logger.error("Nothing is carried over a restart: %s", error)
        return None
    for note in (*place.notes, *store.notes):
        logger.warning("%s", note)
    if decision.server.kind != RUN:  # it reads no bytecode
        bytecode.begin()
    at_end = (lambda: None) if place.lasting else partial(remove_when_ended, decision.server, place.directory)
    registry.object("place of the snapshot", lambda: place)  # open as long as this process lives
    found = Carrier(store, at_end)
    if store.number == 1:
        logger.info("%s (HOTSESSION=off turns that off)", decision.why)
    else:
        killed = " (it was killed)" if store.previous == "abrupt" else ""
        logger.info("Carried over from the process before%s: %s", killed, found.arrivals() or "nothing was kept")
    return found


def _is_test() -> bool:
    """Whether this process runs tests, maybe again and again under a reloader: each run starts from nothing."""
    return "_pytest" in sys.modules and not os.environ.get(SWITCH)
