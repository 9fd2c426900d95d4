"""Old code that still has work after the swap lives in its own generation; afterwards nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import sys
import textwrap
import weakref
from types import ModuleType
from typing import Any

import pytest

from hotsession.registry import registry
from tests.projects import Exchange, Project, barrier, trace

pytestmark = pytest.mark.anyio

MAIN = textwrap.dedent(
    """
        import app.services
        from tests.projects import answering, barrier, trace
        app_object = answering(globals())

        def index(): return app.services.version()

        async def by_attribute():
            await barrier.wait_async()
            return app.services.version()
        async def by_statement():
            await barrier.wait_async()
            import app.services as late
            return late.version()
        async def by_plain_statement():
            await barrier.wait_async()
            import app.services
            return app.services.version()
        async def by_from():
            await barrier.wait_async()
            from app import services as late
            return late.version()
        async def by_name():
            await barrier.wait_async()
            from app.services import version
            return version()
        async def by_import_module():
            await barrier.wait_async()
            import importlib
            return importlib.import_module("app.services").version()
        async def by_relative_import_module():
            await barrier.wait_async()
            import importlib
            return importlib.import_module(".services", "app").version()
        async def by_dunder_import():
            await barrier.wait_async()
            return __import__("app.services").services.version()
        async def by_carried():
            await barrier.wait_async()
            from app import carried
            return carried.version()
        async def by_package():
            await barrier.wait_async()
            import app
            return app.services.version()
        async def in_a_thread():
            import asyncio
            await barrier.wait_async()
            def work():
                import app.services as late
                return late.version(), app.services.version()
            return (await asyncio.to_thread(work))[0]
        async def main_itself():
            await barrier.wait_async()
            import main
            return main.app.services.version() if main.__dict__ is globals() else "new"
        async def gone():
            await barrier.wait_async()
            from app import gone
            return gone.X
    """
)
FILES = {
    "main.py": MAIN,
    "app/__init__.py": "",
    "app/services.py": "def version(): return 'old'",
    "app/carried.py": "def version():\n    from app import services\n    return services.version()",
    "app/gone.py": "X = 'old'",
}
NEW = {"app/services.py": "def version(): return 'new'"}
WAYS = [
    *("by_attribute", "by_statement", "by_plain_statement", "by_from", "by_name", "by_import_module", "by_package"),
    *("by_relative_import_module", "by_dunder_import", "in_a_thread", "main_itself", "gone"),
]


async def start(project: Project, files: dict[str, str] | None = None, **options: Any) -> None:
    """Serve the files above, changed so."""
    await project.start({**FILES, **(files or {})}, "main:app_object", **options)


async def in_flight(project: Project, path: str) -> Exchange:
    """A request that is held by the barrier."""
    barrier.close()
    exchange = project.open(path)
    await barrier.reached()
    return exchange


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_finishes_on_its_own_modules(project: Project, way: str) -> None:
    """It was under way at the swap: what it imports or looks up afterwards is its own generation's."""
    await start(project, {"main.py": MAIN + "import app.gone"})
    exchange = await in_flight(project, f"/{way}")
    outcome = await project.reload({**NEW, "app/gone.py": None, "main.py": MAIN})
    assert await project.get() == "new"
    assert outcome.generation == 2
    assert not exchange.task.done()
    barrier.open()
    assert (await exchange.end()).text == "old"
    await project.drained()
    if way != "gone":
        assert await project.get(f"/{way}") == "new"


async def test_two_generations_are_in_flight(project: Project) -> None:
    """Each of three generations sees its own modules, on one event loop at the same time."""
    await start(project)
    first = await in_flight(project, "/by_attribute")
    await project.reload(NEW)
    second = project.open("/by_attribute")
    await project.reload({"app/services.py": "def version(): return 'newest'"})
    barrier.open()
    assert (await first.end()).text == "old"
    assert (await second.end()).text == "new"
    assert await project.get("/by_attribute") == "newest"


async def test_what_was_carried_over_belongs_to_the_newest(project: Project) -> None:
    """A module that did not change is one object for all generations; what it imports late is the newest's."""
    await start(project)
    await project.reload({"app/carried.py": FILES["app/carried.py"] + "\n"})
    exchange = await in_flight(project, "/by_carried")
    await project.reload({"main.py": MAIN + "\n"})
    barrier.open()
    assert (await exchange.end()).text == "old"


async def test_a_deleted_module_is_no_longer_there_for_new_code(project: Project) -> None:
    """Neither by name nor as an attribute of its package, although old code still uses it."""
    await start(project, {"main.py": MAIN + "import app.gone"})
    exchange = await in_flight(project, "/gone")
    importing = """
        def try_it():
            found = []
            import importlib
            for attempt in ("from app import gone", "import app.gone", "importlib.import_module('app.gone')"):
                try:
                    exec(attempt, globals() | {"importlib": importlib})
                except ImportError as error:
                    found.append(type(error).__name__)
            return found, hasattr(app, "gone")
    """
    await project.reload({"app/gone.py": None, "main.py": MAIN + textwrap.dedent(importing)})
    assert await project.get("/try_it") == "(['ImportError', 'ModuleNotFoundError', 'ModuleNotFoundError'], False)"
    barrier.open()
    assert (await exchange.end()).text == "old"


async def test_a_load_that_imports_a_deleted_module_fails(project: Project) -> None:
    """`from app import gone` does not find the old module through its package."""
    await start(project, {"main.py": MAIN + "from app import gone as really"})
    failed = await project.fail({"app/gone.py": None})
    assert isinstance(failed.error, ImportError)
    assert "cannot import name 'gone' from 'app'" in str(failed.error)


async def test_packages_are_plain_modules_again(project: Project) -> None:
    """Nothing looks different once the old generation is gone."""
    await start(project)
    assert type(sys.modules["app"]) is ModuleType
    exchange = await in_flight(project, "/by_attribute")
    await project.reload(NEW)
    assert type(sys.modules["app"]) is not ModuleType
    assert isinstance(sys.modules["app"], ModuleType)
    barrier.open()
    await exchange.end()
    await project.drained()
    assert type(sys.modules["app"]) is ModuleType
    assert type(sys.modules) is dict


async def test_a_package_with_a_class_of_its_own(project: Project) -> None:
    """Some packages replace their own class, for lazy attributes: it keeps it and its attributes."""
    lazy = """
        import sys, types
        class Lazy(types.ModuleType):
            def __getattr__(self, name):
                if name == "answer":
                    return 42
                raise AttributeError(name)
        sys.modules[__name__].__class__ = Lazy
    """
    await start(project, {"app/__init__.py": lazy})
    kind = type(sys.modules["app"])
    exchange = await in_flight(project, "/by_attribute")
    await project.reload(NEW)
    package: Any = sys.modules["app"]
    assert package.answer == 42
    assert isinstance(package, kind)
    barrier.open()
    assert (await exchange.end()).text == "old"
    await project.drained()
    assert type(package) is kind


async def test_a_package_with_getattr(project: Project) -> None:
    """A package that answers for its submodules by `__getattr__` (PEP 562) goes on to do so in each generation."""
    lazy = """
        def __getattr__(name):
            import importlib
            if name.startswith("_") or name == "nothing":
                raise AttributeError(name)
            return importlib.import_module("." + name, __name__)
    """
    await start(project, {"app/__init__.py": lazy, "main.py": MAIN.replace("import app.services", "import app")})
    assert await project.get() == "old"
    exchange = await in_flight(project, "/by_attribute")
    await project.reload(NEW)
    assert await project.get() == "new"
    barrier.open()
    assert (await exchange.end()).text == "old"


async def test_an_old_generation_is_collected(project: Project) -> None:
    """Modules, functions and the app of a replaced generation are gone when it has no work left."""
    await start(project)
    await project.get()
    module = sys.modules["main"]
    found = [weakref.ref(each) for each in (module, module.index, module.app_object, sys.modules["app.services"])]
    del module
    await project.reload(NEW)
    assert await project.collect(found) == []


async def test_a_request_in_flight_keeps_its_generation(project: Project) -> None:
    """And nothing keeps it when the request has ended."""
    await start(project)
    found = [weakref.ref(sys.modules["app.services"]), weakref.ref(registry.scope)]
    exchange = await in_flight(project, "/by_statement")
    await project.reload(NEW)
    gc.collect()
    assert all(each() is not None for each in found)
    barrier.open()
    await exchange.end()
    del exchange
    assert await project.collect(found) == []


async def test_twenty_reloads_leave_one_generation(project: Project) -> None:
    """Good and bad saves, services, kept values, hooks and tasks: weak references prove that only one is alive."""
    main = """
        import asyncio, contextlib
        import hotsession
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from app import models, services

        hot = hotsession.module(__name__)
        kept = hotsession.keep("kept", dict)
        kept["name"] = "plain data"

        @hot.on_dispose
        def disposed(): hot.data["n"] = hot.data.get("n", 0) + 1

        async def index(request):
            await asyncio.gather(asyncio.to_thread(services.version), asyncio.create_task(work()))
            service = await hotsession.get_service(services.Planner)
            return PlainTextResponse(service.plan() + str(hot.data.get("n", 0)))

        async def work():
            from app import carried
            return carried.version()

        @contextlib.asynccontextmanager
        async def lifespan(app):
            task = asyncio.create_task(asyncio.sleep(3600))
            yield {"x": models.Model()}
            task.cancel()

        app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
    """
    services = """
        import hotsession
        def version(): return "{0}"
        @hotsession.service
        class Planner:
            def plan(self): return "plan {0} "
    """
    files = {"main.py": main, "app/services.py": services.format(0), "app/models.py": "class Model: pass"}
    await project.start({**FILES, **files})
    found: list[weakref.ref[Any]] = []
    for number in range(1, 21):
        assert await project.get() == f"plan {number - 1} {number - 1}"
        module = sys.modules["app.services"]
        found += [weakref.ref(module), weakref.ref(module.Planner), weakref.ref(registry.scope)]
        found.append(weakref.ref(sys.modules["main"].index))
        del module
        if number % 5 == 0:
            await project.fail({"app/services.py": services.format("?") + "\n        1/0"})
        await project.reload(
            {"app/services.py": services.format(number), "app/models.py": f"class Model: n = {number}"}
        )
    assert await project.collect(found) == []


async def test_failed_loads_are_collected(project: Project) -> None:
    """Of a load that failed only the error is kept, until the next one."""
    await start(project)
    await project.fail({"app/services.py": "from tests.projects import trace\nclass X: pass\ntrace.append(X)\n1/0"})
    found = weakref.ref(trace.pop())
    await project.reload(NEW)
    assert await project.collect([found]) == []


async def test_what_holds_an_old_generation_is_named(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A task that old code started and nobody ended is named with its function."""
    await start(project)
    text = """
        import asyncio
        async def poll(): await asyncio.sleep(3600)
        async def begin():
            global task
            task = asyncio.create_task(poll(), name="poller")
    """
    await project.reload({"main.py": MAIN + textwrap.dedent(text)})
    await project.get("/begin")
    task = sys.modules["main"].task
    await project.reload({"main.py": MAIN})
    await project.drained()
    assert "still runs: task poller (main.poll)" in caplog.text
    task.cancel()
    await asyncio.wait([task])


async def test_old_code_uses_its_services(project: Project) -> None:
    """A request under way gets the services of its own generation, which are closed when it has ended."""
    text = """
        import hotsession
        from tests.projects import answering, barrier, trace
        app = answering(globals())
        @hotsession.service
        class Mailer:
            VERSION = "old"
            def close(self): trace.append(f"closed {self.VERSION}")
        async def index(): return (await hotsession.get_service(Mailer)).VERSION
        async def held():
            first = await hotsession.get_service(Mailer)
            await barrier.wait_async()
            second = await hotsession.get_service(Mailer)
            return first is second, second.VERSION
    """
    await project.start({"main.py": text})
    exchange = await in_flight(project, "/held")
    outcome = await project.reload({"main.py": text.replace('"old"', '"new"')})
    assert outcome.services == {"Mailer": 1}
    assert await project.get() == "new"
    assert trace == []
    barrier.open()
    assert (await exchange.end()).text == "(True, 'old')"
    await project.drained()
    assert trace == ["closed old"]
