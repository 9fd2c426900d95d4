"""The app: its routes, the browser's session around them, and which version of the code this is."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

import hotsession

from .journal import conversations
from .routes import may, router

HERE = Path(__file__).parent

hot = hotsession.module(__name__)
hot.data["loads"] = hot.data.get("loads", 0) + 1  # handed from each version of this module to the next


def _version() -> str:
    """This code as the page shows it: how often it was loaded, a hash of its sources, and when that was."""
    sources = b"".join(path.read_bytes() for path in sorted(HERE.rglob("*.py")))
    return f"v{hot.data['loads']} {hashlib.sha256(sources).hexdigest()[:6]} {time.strftime('%H:%M:%S')}"


app = FastAPI(title="Agent")
app.add_middleware(hotsession.HotSessionMiddleware)
app.include_router(router)
app.include_router(hotsession.session_routes(conversations, may), prefix="/api/sessions")  # brings hotsession.js
app.mount("/page", StaticFiles(directory=HERE / "page"))
app.state.code = _version()
