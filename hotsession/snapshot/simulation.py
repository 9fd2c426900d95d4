"""A restart within one process, for tests: all that is kept goes through a snapshot in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotsession.registry import registry
from hotsession.snapshot.opening import carrier, install
from hotsession.storages.memory import MemoryStorage


def write_snapshot(directory: Path) -> Mapping[str, str]:
    """Write all that is kept to the snapshot in a directory, and let go of it.

    Returns:
        What could not be written: its path, and of which type it is.
    """
    carried: Any = carrier()
    if carried is None:
        carried = _carrier_in(directory)
        for entry in registry.entries("sessions").values():
            if isinstance(entry.value.storage, MemoryStorage):
                entry.value.storage.back(entry.value.name, carried.records)
    carried.close()
    left: dict[str, str] = carried.notices.left
    return left


def use_snapshot(directory: Path) -> Any:
    """Have this process, whose registry is empty, carry on from the snapshot in a directory; return its carrier."""
    found = _carrier_in(directory)
    install(found)
    return found


def _carrier_in(directory: Path) -> Any:
    from hotsession.snapshot.carrier import Carrier
    from hotsession.snapshot.store import open_store

    return Carrier(open_store(directory))
