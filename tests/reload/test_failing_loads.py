"""A load that fails leaves everything as it was, says why with the user's own frames first, and is tried again."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from typing import Any

import pytest

from hotsession.registry import registry
from tests.projects import Project, barrier, lines, trace

pytestmark = pytest.mark.anyio

HEAD = """
import hotsession
from tests.projects import answering, trace
app = answering(globals())
"""
FILES = {
    "main.py": HEAD + "import shop.cart\nfrom shop import cart\ndef index(): return cart.total(), shop.cart.total()\n",
    "shop/__init__.py": "",
    "shop/cart.py": "from shop import prices\nhot = __import__('hotsession').module(__name__)\n"
    "hot.data['n'] = 1\ndef total(): return prices.X\n",
    "shop/prices.py": "X = 1",
}

FAILURES = {
    "syntax error": ("def (:", "SyntaxError"),
    "null bytes": ("\0", "SyntaxError"),
    "wrong encoding": ("# coding: nonsense", "SyntaxError"),
    "bad indentation": ("if 1:\nx = 1", "IndentationError"),
    "exception": ("1/0", "ZeroDivisionError"),
    "missing module": ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    "missing name": ("from shop import nothing", "ImportError: cannot import name 'nothing' from 'shop'"),
    "sys.exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "BaseException": ("class Odd(BaseException): pass\nraise Odd('?')", "Odd: ?"),
    "CancelledError": ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "StopIteration": ("next(iter(()))", "StopIteration"),
    "endless recursion": ("def f(): f()\nf()", "RecursionError"),
}


def snapshot() -> dict[str, Any]:
    """All that a load may not change when it fails."""
    modules = {name: sys.modules[name] for name in ("main", "shop", "shop.cart", "shop.prices")}
    return {
        "modules": dict(modules),
        "names": {name for name in sys.modules if name.split(".")[0] in ("main", "shop", "extra")},
        "attributes": {name: dict(vars(module)) for name, module in modules.items()},
        "classes": {name: type(module) for name, module in modules.items()},
        "registry": dict(registry.entries()),
        "data": {name: dict(registry.module_data(name)) for name in modules},
        "sys.modules": type(sys.modules),
        "search path": list(sys.path),
    }


@pytest.mark.parametrize("what", FAILURES)
async def test_everything_is_as_it_was(project: Project, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """Modules, packages, registry and `hot.data`; the old code serves on, and the fix takes effect."""
    source, message = FAILURES[what]
    caplog.set_level(logging.INFO)
    await project.start(FILES)
    before = snapshot()
    keeps = "hotsession.keep('k', dict)\nhot = hotsession.module(__name__)\nhot.data['x'] = 1\nimport extra\n"
    failed = await project.fail(
        {
            "main.py": FILES["main.py"].replace("import shop.cart", keeps + "import shop.cart"),
            "extra.py": "",
            "shop/cart.py": FILES["shop/cart.py"].replace("= 1", "= 2"),
            "shop/prices.py": source,
        }
    )
    assert failed.stage == "import"
    assert message in "".join(lines(caplog, logging.ERROR))
    assert snapshot() == before
    assert await project.get() == "(1, 1)"
    del before
    await project.reload({"shop/prices.py": "X = 2"})
    assert await project.get() == "(2, 2)"
    assert registry.module_data("shop.cart") == {"n": 2}
    assert "k" in registry.entries()
    assert "extra" in sys.modules


async def test_a_failed_module_is_tried_again_with_the_next_save(project: Project) -> None:
    """Whatever is saved next: the modules that failed are in no graph, and are not forgotten."""
    await project.start({**FILES, "other.py": ""})
    await project.fail({"shop/prices.py": "import helper"})
    await project.fail({"shop/cart.py": FILES["shop/cart.py"] + "\n"})
    await project.reload({"helper.py": "", "shop/prices.py": "import helper\nX = 2"})
    assert await project.get() == "(2, 2)"


async def test_a_missing_module_appears(project: Project) -> None:
    """The file that was missing is saved, and nothing else: the load that failed is tried again."""
    await project.start(FILES)
    await project.fail({"shop/prices.py": "from helper import X"})
    await project.reload({"helper.py": "X = 2"})
    assert await project.get() == "(2, 2)"


async def test_back_to_the_old_content(project: Project) -> None:
    """Undo in the editor is a save like any other, and there is nothing pending afterwards."""
    await project.start(FILES)
    await project.fail({"shop/prices.py": "X = "})
    await project.reload({"shop/prices.py": "X = 1"})
    assert await project.get() == "(1, 1)"
    assert await project.save({"unrelated.py": ""}) is None


async def test_the_error_is_logged_once_with_own_frames_first(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """One record; no frame of ours or of the import system in it."""
    await project.start(FILES)
    await project.fail({"shop/prices.py": "def f():\n    int('x')\nf()"})
    (line,) = lines(caplog, logging.WARNING)
    found = [each.strip() for each in line.splitlines()]
    assert found[0].startswith("Not reloaded: the new code could not be imported. What ran before goes on serving")
    files = [each for each in found if each.startswith("File")]
    assert files[-1] == f'File "{project.path}/shop/prices.py", line 2, in f'
    assert all(str(project.path) in each for each in files)
    assert found[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


async def test_a_syntax_error_in_the_target(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The place in the file is all that is shown: nobody of the user's imported it."""
    await project.start(FILES)
    await project.fail({"main.py": "x = (\n"})
    (line,) = lines(caplog, logging.ERROR)
    assert line.splitlines()[1:] == [
        f'  File "{project.path}/main.py", line 1',
        "    x = (",
        "        ^",
        "SyntaxError: '(' was never closed",
    ]


async def test_an_import_cycle(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The message says that it is one, as Python's own does, and the old code serves on."""
    await project.start({**FILES, "shop/cycle.py": ""})
    await project.fail(
        {"shop/prices.py": "from shop.cycle import Y\nX = 2", "shop/cycle.py": "from shop.prices import X\nY = 1"}
    )
    (line,) = lines(caplog, logging.ERROR)
    assert "cannot import name 'X' from partially initialized module 'shop.prices'" in line
    assert "most likely due to a circular import" in line
    assert await project.get() == "(1, 1)"


async def test_a_deleted_target(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The old code serves on, the message names the module, and the file's return mends it."""
    await project.start(FILES)
    await project.fail({"main.py": None})
    assert "No module named 'main'" in lines(caplog, logging.ERROR)[0]
    assert await project.get() == "(1, 1)"
    await project.reload({"main.py": FILES["main.py"] + "X = 1"})
    assert await project.get() == "(1, 1)"


@pytest.mark.parametrize(
    ("app", "message"), [("app = 3", "is no ASGI app"), ("", "has no 'app'"), ("app = None", "is no")]
)
async def test_a_target_that_is_no_app(
    project: Project, app: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message says what is there, and the old code serves on."""
    await project.start(FILES)
    await project.fail({"main.py": app})
    assert message in lines(caplog, logging.ERROR)[0]
    assert await project.get() == "(1, 1)"


async def test_an_unreadable_module(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A directory in place of the file is an error like any other."""
    await project.start(FILES)
    (project.path / "shop/prices.py").unlink()
    (project.path / "shop/prices.py").mkdir()
    changes = project.write({"main.py": FILES["main.py"] + "\n"})
    prices = project.write({"shop/cart.py": FILES["shop/cart.py"] + "\n"})
    await project.host.act(changes | prices)
    assert await project.get() == "(1, 1)"


async def test_a_late_import_that_fails(project: Project) -> None:
    """A module that only a function imports is loaded with the others, so its error shows at the save."""
    late = HEAD + "def index():\n    import shop.prices\n    return shop.prices.X"
    await project.start({"main.py": late, "shop/__init__.py": "", "shop/prices.py": "X = 1"})
    assert await project.get() == "1"
    failed = await project.fail({"shop/prices.py": "X ="})
    assert isinstance(failed.error, SyntaxError)
    assert await project.get() == "1"


async def test_a_module_that_raised_is_tried_again_within_one_load(project: Project) -> None:
    """`try: import x / except Exception: ...` twice in one load runs it twice, as Python does."""
    optional = "try:\n    import flaky\nexcept ValueError:\n    pass\n"
    await project.start({"main.py": HEAD + "def index(): return trace", "flaky.py": ""})
    await project.reload(
        {
            "main.py": HEAD + optional + optional + "def index(): return trace",
            "flaky.py": "from tests.projects import trace\ntrace.append(1)\nif len(trace) < 2: raise ValueError",
        }
    )
    assert await project.get() == "[1, 1]"


async def test_an_optional_module_that_raises(project: Project) -> None:
    """A module whose import failed and was caught is replaced when it is mended."""
    main = HEAD + "try:\n    import flaky\nexcept ValueError:\n    flaky = None\ndef index(): return flaky and flaky.X"
    await project.start({"main.py": main, "flaky.py": "raise ValueError"})
    assert await project.get() == "None"
    await project.reload({"flaky.py": "X = 1"})
    assert await project.get() == "1"


async def test_an_optional_module_that_fails_far_below(project: Project) -> None:
    """An optional module imports another that raises: whichever of them is mended, the importer gets it."""
    await project.start(
        {
            "main.py": HEAD + "import routes\ndef index(): return routes.flaky and routes.flaky.X",
            "routes.py": "try:\n    import flaky\nexcept Exception:\n    flaky = None",
            "flaky.py": "import settings, deep\nX = deep.X + settings.X",
            "deep.py": "raise ValueError",
            "settings.py": "X = 1",
            "other.py": "",
        }
    )
    await project.reload({"main.py": (project.path / "main.py").read_text() + "\nimport other"})
    assert await project.get() == "None"
    outcome = await project.reload({"deep.py": "X = 1"})
    assert set(outcome.modules) == {"flaky", "routes", "main"}
    assert await project.get() == "2"
    await project.reload({"settings.py": "X = 1 / 0"})
    assert await project.get() == "None"
    await project.reload({"settings.py": "X = 2"})
    assert await project.get() == "3"


async def test_lifespan_failing(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The new app does not start: nothing of it stays, and the message is the app's own."""
    await project.start(FILES)
    before = snapshot()
    starlette = """
        import contextlib
        from starlette.applications import Starlette
        import hotsession, shop.prices
        @contextlib.asynccontextmanager
        async def lifespan(app):
            hotsession.keep("k", dict)
            hotsession.module(__name__).data["x"] = 1
            raise ValueError("no database")
            yield
        app = Starlette(lifespan=lifespan)
    """
    failed = await project.fail({"main.py": starlette, "shop/prices.py": "X = 2"})
    assert failed.stage == "start-up"
    assert "no database" in lines(caplog, logging.ERROR)[0]
    assert snapshot() == before
    assert await project.get() == "(1, 1)"


async def test_kept_values_of_a_failed_load_are_built_again(project: Project) -> None:
    """What the failed load built is dropped, so the next one builds its own."""
    keep = HEAD + "value = hotsession.keep('k', lambda: trace.append('built') or dict())\n"
    await project.start({"main.py": HEAD})
    await project.fail({"main.py": keep + "1/0"})
    await project.fail({"main.py": keep + "1/0\n"})
    await project.reload({"main.py": keep})
    assert trace == ["built"] * 3


async def test_tasks_of_a_failed_load(project: Project) -> None:
    """A task that a failed start-up left behind holds nothing of the load, and imports what serves."""
    await project.start(FILES)
    leaves = """
        import asyncio, contextlib
        from starlette.applications import Starlette
        from tests.projects import barrier, trace
        import shop.prices
        async def task():
            await barrier.wait_async()
            import sys
            from hotsession.registry import registry
            trace.append((sys.modules["shop.prices"].X, registry.transaction))
        @contextlib.asynccontextmanager
        async def lifespan(app):
            trace.append(asyncio.create_task(task()))
            raise ValueError
            yield
        app = Starlette(lifespan=lifespan)
    """
    barrier.close()
    await project.fail({"main.py": leaves, "shop/prices.py": "X = 2"})
    barrier.open()
    await trace[0]
    assert trace[-1] == (1, None)


async def test_started_on_broken_code(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """It comes up with the next save, whichever file that mends it; nothing of the broken code stays meanwhile."""
    assert not await project.start({**FILES, "shop/prices.py": "X ="})
    assert "Nothing serves yet; the next save tries again." in lines(caplog, logging.ERROR)[0]
    assert project.host.generation is None
    assert "main" not in sys.modules
    assert "shop" not in sys.modules
    await project.reload({"shop/prices.py": "X = 1"})
    assert await project.get() == "(1, 1)"
    await project.reload({"shop/prices.py": "X = 2"})
    assert await project.get() == "(2, 2)"


async def test_started_without_a_target(project: Project) -> None:
    """The target's file does not exist yet."""
    assert not await project.start({})
    await project.reload({"main.py": HEAD + "def index(): return 1"})
    assert await project.get() == "1"


async def test_a_first_lifespan_that_fails(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The server starts all the same, and the next save is the first generation."""
    await project.start(
        {
            "main.py": "async def app(scope, receive, send):\n    await receive()\n"
            "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})"
        }
    )
    assert "no database" in lines(caplog, logging.ERROR)[0]
    answer = await project.open(headers=((b"host", b"localhost"),)).end()
    assert answer.status == 503
    await project.reload({"main.py": HEAD + "def index(): return 1"})
    assert await project.get() == "1"


async def test_a_load_is_cancelled(project: Project) -> None:
    """The server ends in the middle of a load: the process is left as it was."""
    await project.start(FILES)
    before = snapshot()
    task = await project.begin(
        {"shop/prices.py": "from tests.projects import barrier\nbarrier.wait()\nimport shop.cart"}
    )
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert snapshot() == before
    barrier.open()
    assert importlib.import_module("shop.prices") is before["modules"]["shop.prices"]
    await project.reload({"shop/prices.py": "X = 2"})
    assert await project.get() == "(2, 2)"
