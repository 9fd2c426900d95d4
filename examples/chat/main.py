"""The app: its routes, the browser's session around them, and which version of the code this is.

Everything else is imported from here, so this module is loaded anew at every save.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware

import hotsession

from .routes import routes

hot = hotsession.module(__name__)
hot.data["loads"] = hot.data.get("loads", 0) + 1  # handed from each version of this module to the next


def _version() -> str:
    """This code as the page shows it: how often it was loaded, a hash of its sources, and when that was."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return f"v{hot.data['loads']} {hashlib.sha256(sources).hexdigest()[:6]} {time.strftime('%H:%M:%S')}"


app = Starlette(routes=routes, middleware=[Middleware(hotsession.HotSessionMiddleware)])
app.state.code = _version()
