"""Steps of the user's that raised when a kept value was read: who asks for it is told, and nothing takes its place."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterable
from dataclasses import replace
from types import FrameType, ModuleType
from typing import Any

from hotsession.errors import MigrationFailed
from hotsession.living.notices import failed_words
from hotsession.living.outcome import Failed
from hotsession.snapshot.heading import whose
from hotsession.snapshot.unpickling import Parked


class StepRaised(Exception):
    """A value can't be had, because a step raised.

    Args:
        failed: what could not be converted, with the path below the value.
    """

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.step)
        self.failed = failed


def check(parked: Iterable[tuple[str, Parked]]) -> None:
    """Raise if one of these, each with the path to it, is parked because of a step, and not for a reason that passes.

    Raises:
        StepRaised: that is so.
    """
    for path, each in parked:
        if each.failed is not None and not is_defined_below(each.failed.error):
            raise StepRaised(replace(each.failed, path=f"{path}{each.failed.path}")) from each.failed.error


def not_migrated(name: str, failed: Failed) -> MigrationFailed:
    """What is said to who asks for the value."""
    return MigrationFailed(
        f"{whose(name)}: {failed_words(name, failed)}. Mend it and save, or undo the change of the class: it is kept "
        f"as bytes until then. To go on without it, drop it: `hotsession reset {name}` under `hotsession run`, else "
        f"hotsession.reset({name!r}) above this call, for one save.",
        path=f"{name}{failed.path}",
        cls=failed.cls,
        step=failed.step,
        name=name,
    )


def is_defined_below(error: BaseException) -> bool:
    """Whether code needs what a module that this very code imports will define further below: it is merely too early.

    So it is where `hotsession.keep` is called at the top of the module that a step is in. A name that is misspelt is
    defined nowhere.
    """
    module = _in_which(error)
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is module and frame.f_code.co_name == "<module>":
            return any(
                each.opname in ("STORE_NAME", "STORE_GLOBAL") and each.argval == getattr(error, "name", None)
                for each in dis.get_instructions(frame.f_code)
            )
        frame = frame.f_back
    return False


def _in_which(error: BaseException) -> dict[str, Any] | None:
    """The namespace of the module in which the error misses a name."""
    if isinstance(error, AttributeError):
        return vars(error.obj) if isinstance(error.obj, ModuleType) else None
    traceback = error.__traceback__
    if not isinstance(error, NameError) or traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals
