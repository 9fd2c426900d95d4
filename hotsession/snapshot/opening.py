"""Whether anything is carried over a restart of this process, decided once; if so, the snapshot is opened.

It is the way in for everybody, and imports what the snapshot needs only where there is one.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from hotsession.errors import ConfigurationError
from hotsession.logs import be_heard
from hotsession.registry import registry
from hotsession.snapshot.decision import SWITCH, decide
from hotsession.surroundings.reloaders import RUN

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

logger = logging.getLogger("hotsession")
_opening = threading.RLock()


def carrier() -> Carrier | None:
    """The carrier of this process, opened when it is first asked for; None where nothing is carried over."""
    place: SimpleNamespace = registry.object("carrier", lambda: SimpleNamespace(pid=0, carrier=None))
    if place.pid != os.getpid():
        with _opening:
            if place.pid != os.getpid():  # not even when forked from one that had decided: a worker is not its parent
                is_forked = place.pid != 0
                place.carrier, is_final = _open()
                if is_forked and place.carrier is not None:
                    _let_go_of_the_parents(place.carrier)
                place.pid = os.getpid() if is_final else 0
    found: Carrier | None = place.carrier
    return found


def install(found: Carrier | None) -> None:
    """Have this process use a carrier, without asking whether there is a reloader."""
    registry.object("carrier", SimpleNamespace).__dict__.update(pid=os.getpid(), carrier=found)


def _let_go_of_the_parents(carrier: Carrier) -> None:
    """Forget what the process that forked this one kept, where the last worker's is in the snapshot."""
    for name in carrier.values.names():
        registry.drop(name)


def _open() -> tuple[Carrier | None, bool]:
    """The carrier, and whether that is the last word: in the midst of an import it may not be clear yet."""
    try:
        decision = decide()
    except ConfigurationError as error:  # of the environment; it must not take the app down
        be_heard()
        logger.error("%s. Nothing is carried over a restart", error)
        return None, True
    if not decision.on or decision.server is None or _is_test():
        if decision.tell:
            be_heard()
            logger.info("%s", decision.why)
        return None, decision.final
    be_heard()
    # In production nothing of this is even imported.
    from hotsession import bytecode
    from hotsession.snapshot.carrier import Carrier
    from hotsession.snapshot.errors import SnapshotUnusable
    from hotsession.snapshot.janitor import remove_when_ended
    from hotsession.snapshot.place import PlaceUnusable, open_place, place_name
    from hotsession.snapshot.store import open_store

    try:
        place = open_place(decision.server, decision.lasting)
        store = open_store(place.directory, server=place_name(decision.server) if place.lasting else None)
    except (PlaceUnusable, SnapshotUnusable) as error:
        logger.error("Nothing is carried over a restart: %s", error)
        return None, True
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
    return found, True


def _is_test() -> bool:
    """Whether this process runs tests, maybe again and again under a reloader: each run starts from nothing."""
    return "_pytest" in sys.modules and not os.environ.get(SWITCH)
