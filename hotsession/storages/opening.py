"""Storages by address: ``sqlite:///sessions.db``, ``file:///directory`` or ``memory:``, from code or the environment.

An address names one storage for as long as the process lives, whatever code is loaded anew meanwhile.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hotsession.errors import ConfigurationError
from hotsession.registry import registry
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage

VARIABLE = "HOTSESSION_STORAGE"
MEMORY = "memory:"
CLASSES = {  # by scheme; imported when they are asked for
    "sqlite": ("hotsession.storages.sqlite", "SQLiteStorage"),
    "file": ("hotsession.storages.file", "FileStorage"),
}
ADDRESSES = (
    "'sqlite:///sessions.db' or 'file:///directory' in the working directory, with four slashes at the root, "
    "or 'memory:'"
)


def open_storage(address: str | None = None) -> Storage:
    """Return the storage at an address: the same object each time, also to code that was loaded anew.

    Args:
        address: ``sqlite:///sessions.db``, ``file:///directory`` or ``memory:``. Three slashes lead to a path in the
            working directory, four to one at the root. Left out, it is what ``HOTSESSION_STORAGE`` says, else memory.

    Nothing is opened before it is used.

    Raises:
        ConfigurationError: it is no such address, or another one than ``HOTSESSION_STORAGE`` has.

    Example:
        ``hotsession.sessions("jobs", storage=open_storage("sqlite:///jobs.db"))``
    """
    said = os.environ.get(VARIABLE) or None
    chosen = address if address is not None else said or MEMORY
    name, make = _maker(chosen)
    if said is not None and _maker(said)[0] != name:
        raise ConfigurationError(
            f"the code asks for the storage {address!r} and {VARIABLE} says {said!r}: unset {VARIABLE}, or call "
            "open_storage() without an address"
        )
    storage: Storage = registry.object(f"storage at {name}", make)
    return storage


def _maker(address: str) -> tuple[str, Callable[[], Any]]:
    """What an address comes to, in one way of writing it, and what makes the storage."""
    if not isinstance(address, str):
        raise ConfigurationError(f"{address!r} is no address of a storage: give {ADDRESSES}")
    scheme, _, rest = address.partition(":")
    if address == MEMORY:
        return MEMORY, MemoryStorage
    if scheme not in CLASSES:
        raise ConfigurationError(f"{address!r} is no address of a storage that there is: give {ADDRESSES}")
    path = _path(address, rest)
    module, name = CLASSES[scheme]
    return f"{scheme}:{path}", partial(getattr(importlib.import_module(module), name), path)


def _path(address: str, rest: str) -> Path:
    text = unquote(rest[3:])
    if not rest.startswith("///") or not text or "?" in rest or "#" in rest or "\0" in text:
        raise ConfigurationError(f"{address!r} does not say where the storage is: give {ADDRESSES}")
    if text == ":memory:":  # as others write it; here it would be a file by that name
        raise ConfigurationError(f"{address!r} would be gone with its connection: write {MEMORY!r} for the memory")
    path, at_root = Path(text), Path("/", text)
    first = path.parts[0]
    if len(path.parts) > 1 and not path.is_absolute() and not Path(first).exists() and at_root.parent.is_dir():
        raise ConfigurationError(
            f"{address!r} is {path.absolute()}, where there is no {first!r}, and {at_root.parent} is there: write four "
            f"slashes for {at_root}, or make the directory"
        )
    return path.absolute()
