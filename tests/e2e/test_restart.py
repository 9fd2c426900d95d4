"""Changes that can't be made in place: the process is restarted, the line says why, and nothing is refused."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, clean_environment, hotsession_run, uvicorn, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import os
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import hotsession
        import settings

        async def home(request):
            return JSONResponse({"pid": os.getpid(), "version": settings.VERSION})

        async def restart(request):
            settings.hot.invalidate("somebody asked for it")
            return JSONResponse({"pid": os.getpid()})

        app = Starlette(routes=[Route("/", home), Route("/restart", restart)])
    """,
    "settings.py": """
        import hotsession

        VERSION = 1
        hot = hotsession.module(__name__)
        if VERSION % 10 == 0:
            hot.invalidate(f"settings {VERSION} are read by a library only once")
    """,
    "hosted.py": "from hotsession import HotApp\n\napp = HotApp('main:app')\n",
}


def answer(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/").raise_for_status().json()
    return found


@contextmanager
def load(server: Server) -> Iterator[list[dict[str, Any]]]:
    """Requests one after the other, on a kept connection and on new ones; a failed one fails the test."""
    answers: list[dict[str, Any]] = []
    done = threading.Event()

    def ask(headers: dict[str, str]) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE, headers=headers) as client:
            while not done.is_set():
                answers.append(client.get("/").raise_for_status().json())

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask, headers) for headers in ({}, {"connection": "close"})]
        try:
            wait_until(lambda: len(answers) > 1)
            yield answers
        finally:
            done.set()
    for each in asking:
        each.result()


def test_an_edited_module_or_a_request_can_ask_for_a_restart(tmp_path: Path) -> None:
    """At import and at run time, again and again under load: each request is answered, the reason is in the log."""
    project = write_project(tmp_path / "app", PROJECT)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server, load(server) as answers:
        first = answer(server)["pid"]
        server.edit("settings.py", "VERSION = 1", "VERSION = 10")
        wait_until(lambda: answer(server)["version"] == 10)
        server.wait_for_line(r"Restarting the worker, .*: settings 10 are read by a library only once")
        second = answer(server)["pid"]
        assert second != first
        server.get("/restart").raise_for_status()
        wait_until(lambda: answer(server)["pid"] != second)
        server.wait_for_line(r"Restarting the worker, .*: somebody asked for it")
        third = answer(server)["pid"]
        server.edit("settings.py", "VERSION = 10", "VERSION = 11")  # in place again
        wait_until(lambda: answer(server)["version"] == 11)
        assert answer(server)["pid"] == third
        wait_until(lambda: server.workers() == [third])
    assert list(dict.fromkeys(each["version"] for each in answers)) == [1, 10, 11]
    assert "Traceback" not in server.log


def test_without_a_parent_the_line_says_what_to_do(tmp_path: Path) -> None:
    """HotApp under another server can't restart the process: it says so, and the old code serves on."""
    project = write_project(tmp_path / "app", PROJECT)
    with Server(uvicorn("hosted:app"), project) as server:
        server.edit("settings.py", "VERSION = 1", "VERSION = 10")
        server.wait_for_line(r"A restart is needed: settings 10 are .*Restart the server by hand; the old code goes on")
        assert answer(server)["version"] == 1
        server.edit("settings.py", "VERSION = 10", "VERSION = 11")
        wait_until(lambda: answer(server)["version"] == 11)


EXTENSION = """
#include <Python.h>
static PyObject *number(PyObject *self, PyObject *none) { return PyLong_FromLong(VERSION); }
static PyMethodDef methods[] = {{"number", number, METH_NOARGS, ""}, {NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "fast", "", -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&definition); }
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to build a C extension")
def test_a_compiled_extension_that_is_built_anew_restarts(tmp_path: Path) -> None:
    """A process loads an extension once, so a new build of it brings a new process, and answers from there."""
    files = {
        "main.py": PROJECT["main.py"].replace("import settings", "import fast, settings").replace(
            "settings.VERSION}", "[settings.VERSION, fast.number()]}"
        ),
        "settings.py": PROJECT["settings.py"],
        "fast.c": EXTENSION,
    }  # fmt: skip
    project = write_project(tmp_path / "app", files)

    def build(version: int) -> None:
        new = project / "build.tmp"
        command = ("gcc", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", f"-DVERSION={version}")
        subprocess.run([*command, "fast.c", "-o", str(new)], cwd=project, check=True)
        new.replace(project / f"fast{sysconfig.get_config_var('EXT_SUFFIX')}")

    build(1)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server, load(server) as answers:
        first = answer(server)["pid"]
        server.edit("settings.py", "VERSION = 1", "VERSION = 2")
        wait_until(lambda: answer(server)["version"] == [2, 1])
        assert answer(server)["pid"] == first
        build(2)
        wait_until(lambda: answer(server)["version"] == [2, 2])
        server.wait_for_line(r"Restarting the worker, .*: fast is a compiled extension, which .* only once")
        assert answer(server)["pid"] != first
    assert {tuple(each["version"]) for each in answers} == {(1, 1), (2, 1), (2, 2)}


FRAMEWORK = """
import importlib

known = {}

def view(name):  # as Django resolves its URLs: once
    if name not in known:
        known[name] = importlib.import_module(name).view
    return known[name]()

def plugins(*names):  # as an app factory imports what its settings name: each time
    return [importlib.import_module(name) for name in names]
"""
BUILT_ON_IT = {
    "main.py": """
        import os
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import framework

        plugin, = framework.plugins("plugin")

        async def home(request):
            return JSONResponse({"pid": os.getpid(), "version": [framework.view("views"), plugin.VERSION]})

        app = Starlette(routes=[Route("/", home)])
    """,
    "views.py": "def view():\n    return 1\n",
    "plugin.py": "VERSION = 1\n",
}


def test_what_a_library_imported_and_remembers_needs_a_restart(tmp_path: Path) -> None:
    """A library's cache answers with old code for ever, so the process is new; what it imports each time is not."""
    write_project(tmp_path / "library", {"framework.py": FRAMEWORK})
    project = write_project(tmp_path / "app", BUILT_ON_IT)
    command = hotsession_run("main:app", "--no-access-log")
    path = f"{tmp_path / 'library'}:{clean_environment().get('PYTHONPATH', '')}"
    with Server(command, project, env={"PYTHONPATH": path}) as server:
        first = answer(server)["pid"]
        server.edit("plugin.py", "VERSION = 1", "VERSION = 2")
        wait_until(lambda: answer(server)["version"] == [1, 2])
        assert answer(server)["pid"] == first
        server.edit("views.py", "return 1", "return 1)")
        server.wait_for_line(r"(?s)Not reloaded: the new code could not be imported.*views\.py.*SyntaxError")
        assert answer(server) == {"pid": first, "version": [1, 2]}
        server.edit("views.py", "return 1)", "return 2")
        wait_until(lambda: answer(server)["version"] == [2, 2])
        server.wait_for_line("Restarting the worker, .*: a library imported views and holds on to what it found there")
        assert answer(server)["pid"] != first
