"""An app on real files whose sessions and kept values hold objects of classes that are edited, and who asks it.

Each case has a module of its own, a session of its own and a kept value of its own, so that many are edited with one
save and none harms another. In a case's code, and in what is asked, `shop` is its module and `it` its object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from tests.e2e.reloaders import ReloadedServer, Reloader
from tests.e2e.servers import ROOT, wait_until, write_file, write_project
from tests.living.edits import HEAD

APP = """
import os
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
import hotsession
IMPORTS
from phase import PHASE

SHOPS = {name: globals()[name] for name in NAMES}

def places(request):
    case = request.path_params["case"]
    return SHOPS[case], {"session": lambda: request.session, "kept": lambda: hotsession.keep(case, dict)}

async def make(request):
    shop, held = places(request)
    for each in held.values():
        it = eval(request.query_params["expression"], {"shop": shop})
        each().update({"it": it, "again": [it]})
    return JSONResponse({})

def told(opened, expression, shop):
    try:
        place = dict(opened())
    except hotsession.MigrationFailed as error:
        return {"is": "refused", "why": str(error)}
    if "it" not in place:
        return {"is": "gone"}
    it = place["it"]
    try:
        value = eval(expression, {"shop": shop, "it": it})
    except Exception as error:
        value = f"{type(error).__name__}: {error}"
    try:
        content = repr(vars(it))
    except TypeError:
        content = repr(it)
    return {"is": value, "content": content, "id": id(it), "is one": place["again"][0] is it}

async def look(request):
    shop, held = places(request)
    expression = request.query_params["expression"]
    return JSONResponse({name: told(opened, expression, shop) for name, opened in held.items()})

async def phase(request):
    return JSONResponse({"phase": PHASE, "pid": os.getpid()})

app = Starlette(
    routes=[Route("/make/{case}", make), Route("/look/{case}", look), Route("/phase", phase)],
    middleware=[Middleware(hotsession.HotSessionMiddleware)],
)
"""


class Case(NamedTuple):
    """A class that is edited, some saves long.

    Args:
        what: is done to it.
        codes: its module before the first save, after it, after the second...
        make: an expression for the object.
        asked: after each save; what it is says how the object is.
        beside: further modules, by their names, which come with the first save.
    """

    what: str
    codes: tuple[str, ...]
    make: str
    asked: tuple[str, ...]
    beside: Mapping[str, str] = {}


class Seen(NamedTuple):
    """What was answered after a save.

    Args:
        status: of the answer.
        places: what there was in the session, and in the kept value; for a stranger, if who has the session is refused.
        text: of an answer that is an error.
    """

    status: int
    places: dict[str, dict[str, Any]]
    text: str


class LivingServer:
    """The app under a reloader, as a context manager.

    Args:
        reloader: which one.
        cases: the classes.
        directory: where its files are written.
    """

    def __init__(self, reloader: Reloader, cases: Sequence[Case], directory: Path) -> None:
        self._cases = {f"case_{number:02}": case for number, case in enumerate(cases)}
        self._cookies: dict[str, dict[str, str]] = {}
        imports = "\n".join(f"import {name}" for name in self._cases)
        app = APP.replace("IMPORTS", imports).replace("NAMES", repr([*self._cases]))
        write_project(directory, {"app.py": app})
        self._directory = directory
        self._write(0)
        self.server = ReloadedServer(
            reloader, "app:app", directory, env={"PYTHONPATH": str(ROOT)}, ready="/phase"
        )  # PYTHONPATH: the hotsession beside these tests, whichever is installed

    def __repr__(self) -> str:
        return f"<LivingServer with {len(self._cases)} cases>"

    def __enter__(self) -> Self:
        self.server.__enter__()
        try:
            for name, case in self._cases.items():
                self._make(name, case)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, traceback)

    def look(self, phase: int) -> dict[str, Seen]:
        """Ask what has become of all cases that are that many saves long, by what was done."""
        return {
            case.what: self._look(name, case.asked[phase - 1] if phase else "True")
            for name, case in self._cases.items()
            if phase < len(case.codes)
        }

    def save(self, phase: int) -> None:
        """Save the next code of all cases, and wait until it serves."""
        self._write(phase)
        wait_until(lambda: self.server.get("/phase").json()["phase"] == phase, what=f"the code of save {phase}")

    def _make(self, name: str, case: Case) -> None:
        answer = self.server.get(f"/make/{name}", params={"expression": case.make})
        assert answer.status_code == 200, f"{case.what}: {answer.text}"
        self._cookies[name] = dict(answer.cookies)
        self.server.client.cookies.clear()  # the next one is another visitor

    def _look(self, name: str, expression: str) -> Seen:
        cookie = "; ".join(f"{key}={value}" for key, value in self._cookies[name].items())
        answer = self._asked(name, expression, {"Cookie": cookie})
        places = (answer if answer.status_code == 200 else self._asked(name, expression, {})).json()
        return Seen(answer.status_code, places, answer.text)

    def _asked(self, name: str, expression: str, headers: dict[str, str]) -> httpx.Response:
        self.server.client.cookies.clear()  # an answer may have brought one
        return self.server.patiently(
            lambda: self.server.get(f"/look/{name}", params={"expression": expression}, headers=headers)
        )

    def _write(self, phase: int) -> None:
        for name, case in self._cases.items():
            for beside, code in case.beside.items():
                if phase == 1:
                    write_file(self._directory / f"{beside}.py", _own(HEAD + code, name))
            if phase < len(case.codes):
                write_file(self._directory / f"{name}.py", _own(HEAD + case.codes[phase], name))
        write_file(self._directory / "phase.py", f"PHASE = {phase}\n")


def _own(code: str, name: str) -> str:
    """The code of a case, which says `shop` of its own module."""
    return re.sub(r"\bshop\.", f"{name}.", code)
