"""Who makes the session of which key just now: a small file. Knows no clock, and no lock: who calls has the turn."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

from hotsession.lifecycle.record import Key
from hotsession.storages.disk import Disk, content

logger = logging.getLogger("hotsession")


class Claim(NamedTuple):
    """The right of one to make the session of a key, until a time."""

    manager: str
    key: Key
    owner: str
    until: float


class Claims:
    """The claims of a directory; they mean nothing any more once the processes that hold them are gone.

    Args:
        path: the file.
        disk: what writes it.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def __repr__(self) -> str:
        return f"<Claims in {self._path}>"

    def take(self, wanted: Claim, now: float) -> bool:
        """Take or keep a right; False while another has it at `now`."""
        claims = [each for each in self._read() if each.until > now]
        mine = [each for each in claims if each[:2] == wanted[:2]]
        if any(each.owner != wanted.owner for each in mine):
            return False
        self._write([*(each for each in claims if each not in mine), wanted])
        return True

    def give_back(self, manager: str, key: Key, owner: str) -> None:
        """Give a right back, if it is still this owner's."""
        claims = self._read()
        kept = [each for each in claims if each[:3] != (manager, key, owner)]
        if len(kept) < len(claims):
            self._write(kept)

    def _read(self) -> list[Claim]:
        try:
            return [
                Claim(manager, tuple(key) if isinstance(key, list) else key, owner, float(until))
                for manager, key, owner, until in json.loads(content(self._path) or b"[]")
            ]
        except (ValueError, TypeError) as error:  # a power cut: nobody who claimed something is there any more
            logger.warning("%s can't be read and is begun anew: %s", self._path, error)
            return []

    def _write(self, claims: list[Claim]) -> None:
        self._disk.replace(self._path, json.dumps(claims).encode(), is_lasting=False)
