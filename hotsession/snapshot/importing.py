"""Whether code is still being imported: what can't be read now may be defined a few lines below."""

from __future__ import annotations

import sys

from hotsession.registry import registry


def is_importing() -> bool:
    """Whether a module is in the midst of its import, in any thread, or a load of ours is under way in this one."""
    if registry.transaction is not None:
        return True
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and hasattr(multiprocessing.current_process(), "_inheriting"):
        return True  # a spawned process runs the main program's file, which is no import to Python
    specs = (getattr(module, "__spec__", None) for module in tuple(sys.modules.values()))
    return any(getattr(spec, "_initializing", False) for spec in specs)
