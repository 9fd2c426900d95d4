"""Whose sessions there are, where they are stored, and what hangs on them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import hotsession

DATABASE = Path(os.environ.get("PREVIEW_DB") or Path(__file__).parent / ".data" / "preview.db").absolute()
IDLE_TIMEOUT = float(os.environ.get("PREVIEW_IDLE") or 30 * 60)  # seconds
GRACE = float(os.environ.get("PREVIEW_GRACE") or 24 * 60 * 60)  # seconds; so long one that is over is still told of
BUILD_SECONDS = 0.4  # what it takes to build a container

DATABASE.parent.mkdir(parents=True, exist_ok=True)
database = hotsession.open_storage(f"sqlite:///{DATABASE}")

# One live preview per project, and one live chat per user: the database itself refuses a second.
previews = hotsession.sessions("previews", storage=database, idle_timeout=IDLE_TIMEOUT, grace=GRACE)
chats = hotsession.sessions("chats", storage=database)


# A preview stands for a container, which would be a matter of `docker run`, `pause`, `unpause` and `rm`. A hook that
# fails leaves the preview in the state that it was in.


@previews.on_create
async def build(preview: hotsession.Session) -> None:
    """Build the container: once, however many ask for the preview at the same moment."""
    await asyncio.sleep(BUILD_SECONDS)
    preview.data.update(counter=0, container="running", built=f"for {preview.key}")


@previews.on_pause
def freeze(preview: hotsession.Session) -> None:
    """Freeze the container."""
    preview.data["container"] = "frozen"


@previews.on_resume
def thaw(preview: hotsession.Session) -> None:
    """Let the container run again, with all that was in it."""
    preview.data["container"] = "running"


@previews.on_end
@previews.on_expire
def remove(preview: hotsession.Session) -> None:
    """Remove the container."""
    preview.data["container"] = "removed"
