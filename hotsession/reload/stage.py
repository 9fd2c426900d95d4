"""What the story of a reload needs of the host: the seam between replacing code and answering requests."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Protocol

from hotsession.reload.generation import Generation


class Stage(Protocol):
    """What the story needs of the host."""

    def dress(self, generation: Generation, module: ModuleType) -> None:
        """Find the app in the target module and give it, with its lifespan, to the generation."""
        ...

    def hold(self) -> AbstractAsyncContextManager[None]:
        """Let new requests wait during the block."""
        ...

    def restart(self, why: str) -> None:
        """Ask for a restart of the process."""
        ...

    def request_reset(self, name: str | None) -> None:
        """Drop what is kept under `name`, or everything, soon."""
        ...
