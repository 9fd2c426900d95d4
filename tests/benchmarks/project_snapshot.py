"""The project whose restarts are measured: an app with many sessions, which can say what it took to open them.

`/fill/N` makes sessions of 2 KB in bulk, `/touch/N` reads one by its key and tells how long that took, `/opened` how
long the snapshot took to open and which process this is.
"""

from __future__ import annotations

MARKER = """
def marker():
    return "@MARKER@"
"""

MAIN = '''\
"""The app of a benchmark project."""

import os
from time import perf_counter, time

{switch}

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import hotsession
from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.record import new_record

CHUNK = 5_000


def data():
    return SessionData(
        user="ada", messages=[{{"role": "user", "text": f"message {{turn}} " + "x" * 60}} for turn in range(20)]
    )


started = perf_counter()
sessions = hotsession.sessions()
opened = perf_counter() - started


async def show(request):
    return PlainTextResponse(marker())


async def fill(request):
    """Sessions as they are written when they are new, many in one go."""
    from hotsession.snapshot.opening import carrier

    records, now, limits = carrier().records, time(), sessions.ledger.limits
    wanted = request.path_params["count"]
    for first in range(0, wanted, CHUNK):
        numbers = range(first, min(wanted, first + CHUNK))
        made = [
            new_record(f"{{number:032x}}", sessions.name, f"user {{number}}", data(), now, limits) for number in numbers
        ]
        records.write(*[record._replace(version=1) for record in made])
    return PlainTextResponse(str(await sessions.count()))


async def touch(request):
    started = perf_counter()
    session = await sessions.get_or_create(f"user {{request.path_params['number']}}")
    took = perf_counter() - started
    return JSONResponse({{"seconds": took, "found": session.reused and len(session.data["messages"]) == 20}})


async def tell(request):
    return JSONResponse({{"pid": os.getpid(), "seconds": opened}})


routes = [
    Route("/marker", show),
    Route("/fill/{{count:int}}", fill),
    Route("/touch/{{number:int}}", touch),
    Route("/opened", tell),
]
app = Starlette(routes=routes, middleware=[Middleware(hotsession.HotSessionMiddleware)])
'''


BARE = '''\
"""The same without hotsession."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def show(request):
    return PlainTextResponse(marker())


app = Starlette(routes=[Route("/marker", show)])
'''


def sources(*, snapshot: bool = True, hotsession: bool = True) -> dict[str, str]:
    """The files of the project, by name.

    Args:
        snapshot: whether there is one under a reloader.
        hotsession: whether the app knows of hotsession at all.
    """
    switch = "" if snapshot else 'os.environ["HOTSESSION"] = "off"'
    return {"main.py": (MAIN.format(switch=switch) if hotsession else BARE) + MARKER}
