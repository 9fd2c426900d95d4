"""What became of the objects that hang on a session or kept value, by name and in words. Pure."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LONGEST = 200
_OURS = str(Path(__file__).parent) + os.sep


@dataclass(frozen=True, slots=True)
class Left:
    """An object that stays as it was, with its old code.

    Args:
        cls: the name of its class.
        path: where it stands, below what it hangs on.
        why: the reason.
        cure: what would help.
    """

    cls: str
    path: str
    why: str
    cure: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An object whose own conversion raised: it is as it was before, and is tried again after the next save.

    Args:
        cls: the name of its class.
        path: where it stands, below what it hangs on.
        step: the name of the function or method.
        error: what that raised.
    """

    cls: str
    path: str
    step: str
    error: BaseException


@dataclass(slots=True)
class Outcome:
    """What became of some objects.

    Args:
        converted: how many are of their new class now, by its name.
        anew: how many of them are other objects than before, because the layout changed, by class.
        missing: fields that nobody knows a value of: name of the class and field, and how many objects lack it.
        set_aside: fields that are gone: as `missing`, and how many objects have their values kept aside.
        left: those that stay as they were.
        failed: those whose own conversion raised.
    """

    converted: Counter[str] = field(default_factory=Counter)
    anew: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    left: list[Left] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.converted or self.left or self.failed or self.missing)

    def add(self, other: Outcome) -> None:
        """Count what became of others in."""
        self.converted.update(other.converted)
        self.anew.update(other.anew)
        self.missing.update(other.missing)
        self.set_aside.update(other.set_aside)
        self.left += other.left
        self.failed += other.failed


def from_users_frame(error: BaseException) -> BaseException:
    """An error whose traceback begins where the user's code does, without the frames of ours that called it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return error.with_traceback(frames)


def counted(names: Counter[str]) -> str:
    """How many of which, in words, the most first."""
    return ", ".join(f"{count} {name}" for name, count in names.most_common())


def written(steps: Iterable[tuple[str, Any]]) -> str:
    """A path, for people."""
    path = "".join(map(_step, steps))
    return path if len(path) <= _LONGEST else f"{path[: _LONGEST // 2]}…{path[-_LONGEST // 2 :]}"


def _step(step: tuple[str, Any]) -> str:
    kind, key = step
    if kind == ".":
        return f".{key}"
    if isinstance(key, str):
        text = json.dumps(key, ensure_ascii=False)
    else:
        try:
            text = repr(key)
        except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything, and the place is named all the same
            text = object.__repr__(key)
    return f"{{{text:.80}}}" if kind == "key" else f"[{text:.80}]"
