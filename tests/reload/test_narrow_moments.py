"""Two things at once: generations that end during a load, saves before anybody watches, hooks that never end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from hotsession.asgi.host import Host, HostOptions
from hotsession.events import Reloaded
from hotsession.registry import registry
from hotsession.target import Target
from tests.projects import Project, barrier, until

pytestmark = pytest.mark.anyio

MAIN = """
    from tests.projects import answering
    import asyncio, pkg.sub
    from pkg import sub
    GO = asyncio.Event()
    async def slow(): await GO.wait(); return str(sub.VALUE)
    def index(): return str(sub.VALUE)
    app = answering(globals())
"""


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """An empty project, stopped and forgotten after the test."""
    async with Project(tmp_path) as found:
        yield found


async def test_an_old_generation_ends_during_a_load(project: Project) -> None:
    """When the last old request ends while newer code is imported, that code still finds its own submodules."""
    files = {"pkg/__init__.py": "", "pkg/sub.py": "VALUE = 1", "main.py": MAIN}
    await project.start(files)
    old = project.host._reloader.current  # type: ignore[union-attr]
    running = project.open("/slow")
    await asyncio.sleep(0)
    await project.reload({"pkg/sub.py": "VALUE = 2"})
    held = MAIN.replace(
        "from pkg import sub", "from tests.projects import barrier; barrier.wait(); from pkg import sub"
    )
    task = await project.begin({"pkg/sub.py": "VALUE = 3", "main.py": held})
    assert old is not None
    old.codebase.modules["main"].GO.set()
    await running.end()
    await project.drained()
    barrier.open()
    await task
    assert await project.get() == "3"


async def test_classes_are_pickled_while_the_first_code_is_imported(project: Project) -> None:
    """Code may pickle its own objects at import, which C code does by looking into the interpreter's own dict."""
    text = """
        import pickle
        from tests.projects import answering
        class Point:
            def __init__(self): self.x = 1
        copy = pickle.loads(pickle.dumps(Point()))
        def index(): return str(copy.x)
        app = answering(globals())
    """
    assert await project.start({"main.py": text})
    assert await project.get() == "1"


async def test_a_save_between_a_broken_start_and_the_watching(project: Project) -> None:
    """What was mended after it was read and before anybody watched is acted on at once."""
    good = "from tests.projects import answering\ndef index(): return 'mended'\napp = answering(globals())"
    project.write({"main.py": "1/0"})
    options = HostOptions(watch_dirs=(project.path,), watch=False)
    project.host = Host(Target("main", "app", False, project.path), options)
    assert not await project.host.load()
    project.write({"main.py": good})
    await project.host._start()
    await until(lambda: project.host.generation is not None)
    assert await project.get() == "mended"
    await project.host._stop()


async def test_a_hook_that_never_returns(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    """It is given up with a line and a failure in the report, and the next save is acted on."""
    monkeypatch.setattr("hotsession.reload.handover._HOOKS_SECONDS", 0.05)
    text = """
        import asyncio, hotsession
        from tests.projects import answering
        hot = hotsession.module(__name__)
        VERSION = 1
        @hot.on_dispose
        async def stuck(): await asyncio.Event().wait()
        def index(): return str(VERSION)
        app = answering(globals())
    """
    await project.start({"main.py": text})
    for version in ("2", "3"):
        outcome = await project.reload({"main.py": text.replace("= 1", f"= {version}")})
        assert [failure.what for failure in outcome.failures] == ["the on_dispose hooks that did not end"]
        assert await project.get() == version


async def test_sessions_that_can_not_be_counted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that fails to count loses neither the report nor the swap."""
    text = """
        import hotsession
        from tests.projects import answering
        chats = hotsession.sessions("chats")
        VERSION = 1
        def index(): return str(VERSION)
        app = answering(globals())
    """
    await project.start({"main.py": text})
    monkeypatch.setattr(registry.entries("sessions")["sessions:chats"].value.storage, "count", lambda name: 1 / 0)
    outcome = await project.reload({"main.py": text.replace("= 1", "= 2")})
    assert isinstance(outcome, Reloaded)
    assert outcome.sessions == {}
    assert await project.get() == "2"


async def test_a_module_that_an_import_hook_loads(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another loader compiles its own way is not ours to load again: a save of it asks for a new process."""

    class Loader(SourceFileLoader):
        """Somebody else's."""

    class Finder:
        """Finds one module for it."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            """The spec of the hooked module."""
            file = project.path / "hooked.py"
            return spec_from_file_location(name, file, loader=Loader(name, str(file))) if name == "hooked" else None

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    text = (
        "import hooked\nfrom tests.projects import answering\ndef index(): return hooked.X\napp = answering(globals())"
    )
    await project.start({"main.py": text, "hooked.py": "X = 'one'"})
    assert await project.get() == "one"
    assert await project.save({"hooked.py": "X = 'two'"}) is None
    assert project.restarts == ["hooked is loaded by an import hook, which only a new process asks again"]
