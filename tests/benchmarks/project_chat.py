"""The sources of the chat project: the repository's example with two endpoints more.

`/marker` shows which `services.py` answers; `/alive` tells the memory of the process and which generations are alive.
"""

from __future__ import annotations

from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat"

# What is alive is counted in a place that no reloader touches, so that the same figures come from every contender.
WATCH = '''\
"""Counts what is alive of the generations, for the benchmark."""

import gc
import os
import sys
import weakref
from pathlib import Path

from starlette.responses import JSONResponse

SEEN = sys.__dict__.setdefault("benchmark_seen", {})


def watch(namespace):
    """Keep weak references to the functions and classes that a module defines."""
    for name, value in list(namespace.items()):
        if getattr(value, "__module__", None) == namespace["__name__"] and hasattr(value, "__qualname__"):
            SEEN.setdefault(f"{namespace['__name__']}.{name}", weakref.WeakSet()).add(value)


async def show_alive(request):
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    alive = {name: len(group) for name, group in SEEN.items()}
    return JSONResponse({"pid": os.getpid(), "rss": pages * os.sysconf("SC_PAGE_SIZE"), "alive": alive})
'''

SERVICES_TAIL = """

def benchmark_marker():
    return "@MARKER@"


from . import benchmark_watch

benchmark_watch.watch(globals())
"""

MAIN_TAIL = """

from starlette.responses import PlainTextResponse as _Plain
from starlette.routing import Route as _Route

from . import benchmark_watch
from .services import benchmark_marker


async def show_marker(request):
    return _Plain(benchmark_marker())


app.router.routes.insert(0, _Route("/marker", show_marker))
app.router.routes.insert(0, _Route("/alive", benchmark_watch.show_alive))
benchmark_watch.watch(globals())
"""


def files() -> dict[str, str]:
    """The files of the project: path below its root to text."""
    paths = [path for path in EXAMPLE.rglob("*") if path.suffix in {".py", ".html", ".js", ".css"}]
    made = {f"chat/{path.relative_to(EXAMPLE)}": path.read_text() for path in paths}
    made["chat/services.py"] += SERVICES_TAIL
    made["chat/main.py"] += MAIN_TAIL
    made["chat/benchmark_watch.py"] = WATCH
    return made
