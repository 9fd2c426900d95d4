"""While new code is being imported: old code sees nothing of it, and new code sees nothing else.

Each test holds the load in the middle, in the import of `slow`, which everything else was imported before.
"""

from __future__ import annotations

import asyncio
import importlib
import pickle
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotsession.registry import registry
from tests.projects import Project, barrier, trace

pytestmark = pytest.mark.anyio

SLOW = "from tests.projects import barrier\nbarrier.wait()"

FILES = {
    "main.py": """
        import pickle
        from tests.projects import answering, trace
        import shop.prices
        from shop import prices, carried
        import slow

        app = answering(globals())

        def index(): return prices.VAT
        def by_attribute(): return shop.prices.VAT
        def by_statement():
            import shop.prices as late
            return late.VAT
        def by_from():
            from shop import prices as late
            return late.VAT
        def by_value():
            from shop.prices import VAT
            return VAT
        def by_import_module():
            import importlib
            return importlib.import_module("shop.prices").VAT
        def by_sys_modules():
            import sys
            return sys.modules["shop.prices"].VAT
        def by_unpickling():
            return type(pickle.loads(pickle.dumps(prices.Price()))).VAT
        def by_carried():
            return carried.late()
    """,
    "shop/__init__.py": "",
    "shop/prices.py": "VAT = 'old'\nclass Price: VAT = 'old'",
    "shop/carried.py": "def late():\n    from shop import prices\n    return prices.VAT",
    "slow.py": "",
}
CHANGED = {"shop/prices.py": FILES["shop/prices.py"].replace("old", "new"), "slow.py": SLOW}
WAYS = [
    *("index", "by_attribute", "by_statement", "by_from", "by_value"),
    *("by_import_module", "by_sys_modules", "by_unpickling", "by_carried"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_old_code_sees_its_own_modules(project: Project, way: str) -> None:
    """On the event loop and in another thread, at once, whichever way it asks; after the swap the new ones."""
    await project.start(FILES)
    function = getattr(sys.modules["main"], way)
    task = await project.begin(CHANGED)
    assert await project.get(f"/{way}") == "old"
    with ThreadPoolExecutor() as threads:
        assert await asyncio.wrap_future(threads.submit(function)) == "old"
    assert not task.done()
    barrier.open()
    await task
    assert await project.get(f"/{way}") == "new"


async def test_everybody_else_sees_the_old_modules(project: Project) -> None:
    """Code that is nobody's own, such as a debugger or a library, sees `sys.modules` and packages as before."""
    await project.start(FILES)
    before = {name: sys.modules[name] for name in ("main", "shop", "shop.prices", "slow")}
    task = await project.begin(CHANGED)
    assert {name: sys.modules[name] for name in before} == before
    assert "shop.prices" in sys.modules
    assert sys.modules.get("slow") is before["slow"]
    assert dict(sys.modules.items())["main"] is before["main"]
    assert importlib.import_module("shop.prices") is before["shop.prices"]
    assert sys.modules["shop"].prices is before["shop.prices"]
    barrier.open()
    await task
    assert sys.modules["shop.prices"] is not before["shop.prices"]
    assert sys.modules["shop"] is before["shop"]
    assert sys.modules["shop"].__dict__["prices"] is sys.modules["shop.prices"]


async def test_what_libraries_import_meanwhile_stays(project: Project) -> None:
    """A module of the standard library that old code imports for the first time during a load is there afterwards."""
    sys.modules.pop("this_is_nobodys", None)
    await project.start({**FILES, "lib/site-packages/this_is_nobodys.py": "X = 1"})
    sys.path.append(str(project.path / "lib/site-packages"))
    task = await project.begin(CHANGED)
    found = importlib.import_module("this_is_nobodys")
    barrier.open()
    await task
    assert sys.modules["this_is_nobodys"] is found


async def test_a_failed_load_leaves_what_libraries_imported(project: Project) -> None:
    """So that they are not initialised a second time by the next."""
    await project.start({**FILES, "lib/site-packages/this_is_nobodys.py": ""})
    sys.path.append(str(project.path / "lib/site-packages"))
    await project.fail({"slow.py": "import this_is_nobodys\n1/0"})
    assert "this_is_nobodys" in sys.modules
    assert type(sys.modules) is dict


NEW_CODE = {
    "its entry in sys.modules": """
        import sys
        X = 1
        assert sys.modules[__name__].X == 1
        assert sys.modules[__name__].__dict__ is globals()
    """,
    "type hints": """
        from __future__ import annotations
        import typing
        class Node:
            next: Node | None
            VERSION = "new"
        def f(x: Node) -> Node: ...
        assert typing.get_type_hints(Node)["next"] == typing.Optional[Node]
        assert typing.get_type_hints(f)["return"] is Node
    """,
    "dataclasses": """
        from __future__ import annotations
        import dataclasses, typing
        @dataclasses.dataclass
        class Node:
            VERSION: typing.ClassVar[str] = "new"
            init_only: dataclasses.InitVar[int]
            next: Node | None = None
        assert [field.name for field in dataclasses.fields(Node)] == ["next"]
    """,
    "pydantic models": """
        from __future__ import annotations
        import pydantic
        class Tree(pydantic.BaseModel):
            leaves: list[Leaf]
        class Leaf(pydantic.BaseModel):
            size: int = 2
        assert Tree(leaves=[{}]).leaves[0].size == 2
    """,
    "named tuples and enums": """
        import collections, enum, pickle
        Point = collections.namedtuple("Point", "x y")
        assert Point.__module__ == __name__
        Color = enum.Enum("Color", "RED BLUE")
        assert Color.__module__ == __name__
    """,
    "a package carried over": """
        import shop.prices
        assert shop.prices.VAT == "new"
        from shop import prices
        assert prices.VAT == "new"
        import sys
        assert sys.modules["shop"].prices is prices
        assert getattr(shop, "prices") is prices
        assert vars(prices)["VAT"] == "new"
    """,
    "import_module": """
        import importlib
        assert importlib.import_module("shop.prices").VAT == "new"
        assert importlib.import_module(".prices", "shop").VAT == "new"
    """,
    "the import system's own functions": """
        import importlib.util, pkgutil, inspect
        assert importlib.util.find_spec("shop.prices").name == "shop.prices"
        assert pkgutil.resolve_name("shop.prices:VAT") == "new"
        def f(): pass
        assert inspect.getmodule(f).f is f
        assert importlib.import_module(__name__).f is f
    """,
    "a module that replaces itself": """
        import sys, types
        class Lazy(types.ModuleType):
            X = 2
        sys.modules[__name__] = Lazy(__name__)
    """,
    "a module that takes itself out": """
        import sys
        here = sys.modules.pop(__name__)
        sys.modules[__name__] = here
    """,
    "an alias": """
        import sys
        sys.modules["nickname"] = sys.modules["shop.prices"]
        import nickname
        assert nickname.VAT == "new"
    """,
    "a look at all modules": """
        import sys
        names = list(sys.modules)
        assert __name__ in names and "shop.prices" in names and "sys" in names
        assert sys.modules.get(__name__) is sys.modules[__name__]
        assert len(sys.modules) == len(list(sys.modules.items())) == len(sys.modules.copy())
        assert {**sys.modules}[__name__].__name__ == __name__
        for name, module in list(sys.modules.items()):
            getattr(module, "__file__", None)
    """,
}


@pytest.mark.parametrize("what", NEW_CODE)
async def test_new_code_sees_new_modules(project: Project, what: str) -> None:
    """At import new code sees the new modules and itself, in every way that libraries look."""
    await project.start({**FILES, "new.py": ""})
    changed = FILES["main.py"].replace("import slow", "import new")
    await project.reload({**CHANGED, "slow.py": "", "main.py": changed, "new.py": NEW_CODE[what]})
    assert await project.get() == "new"
    sys.modules.pop("nickname", None)


async def test_new_code_that_ran_before_the_swap(project: Project) -> None:
    """A thread that the new code starts at import, and waits for, gets new modules as well."""
    await project.start(FILES)
    thread = """
        import threading
        def run():
            import shop.prices
            from shop import prices
            import importlib
            seen.append((shop.prices.VAT, prices.VAT, importlib.import_module("shop").prices.VAT))
        seen = []
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert seen == [("new", "new", "new")], seen
    """
    await project.reload({**CHANGED, "slow.py": thread})


async def test_a_pool_at_import(project: Project) -> None:
    """New code may import its modules in several threads at once: each is loaded once, and nothing deadlocks."""
    await project.start({**FILES, **{f"part{i}.py": "" for i in range(5)}})
    pool = """
        import importlib
        from concurrent.futures import ThreadPoolExecutor
        names = [f"part{i}" for i in range(5)]
        with ThreadPoolExecutor(5) as pool:
            found = list(pool.map(importlib.import_module, names + names))
        assert found[:5] == found[5:]
    """
    part = "import part{}\nfrom tests.projects import trace\ntrace.append({})"
    parts = {f"part{i}.py": part.format((i + 1) % 5, i) for i in range(5)}
    await project.reload({**CHANGED, "slow.py": pool, **parts})
    assert sorted(trace) == [0, 1, 2, 3, 4]


async def test_registry_and_hot_data_show_nothing(project: Project) -> None:
    """What the load keeps, and writes to `hot.data`, shows to others from the swap on."""
    head = "import hotsession\nfrom tests.projects import answering\napp = answering(globals())\n"
    head += "hot = hotsession.module(__name__)\ndef index(): return dict(hot.data)\n"
    await project.start({"main.py": head, "slow.py": ""})
    keeps = "hot.data['x'] = 1\nhotsession.keep('k', dict)\nimport slow\n"
    task = await project.begin({"main.py": head + keeps, "slow.py": SLOW})
    assert await project.get() == "{}"
    assert "k" not in registry.entries()
    barrier.open()
    outcome = await task
    assert await project.get() == "{'x': 1}"
    assert "k" in registry.entries()
    assert outcome.generation == 2


async def test_unpickling_in_new_code(project: Project) -> None:
    """Documented limit: C code looks into the interpreter's own dict, so at import it finds the class that serves."""
    await project.start(FILES)
    kept = pickle.dumps(sys.modules["shop.prices"].Price())
    unpickle = f"import pickle\nfrom tests.projects import trace\ntrace.append(pickle.loads({kept!r}).VAT)"
    await project.reload({**CHANGED, "slow.py": unpickle})
    assert trace == ["old"]
    assert pickle.loads(kept).VAT == "new"  # noqa: S301


async def test_old_code_loads_a_module_for_the_first_time(project: Project) -> None:
    """During a load, in a handler: it gets it at once, and an edit of that module is seen ever after."""
    function = "def extra():\n    import extra\n    return extra.X, extra.prices.VAT"
    main = textwrap.dedent(FILES["main.py"]) + function
    await project.start({**FILES, "main.py": main, "extra.py": "from shop import prices\nX = 1"})
    task = await project.begin(CHANGED)
    assert await project.get("/extra") == "(1, 'old')"
    barrier.open()
    await task
    assert await project.get("/extra") == "(1, 'new')"
    await project.reload({"extra.py": "from shop import prices\nX = 2"})
    assert await project.get("/extra") == "(2, 'new')"


async def test_the_event_loop_goes_on(project: Project) -> None:
    """A hundred requests are answered while an import is held."""
    await project.start(FILES)
    task = await project.begin(CHANGED)
    assert await asyncio.gather(*[project.get() for _ in range(100)]) == ["old"] * 100
    barrier.open()
    await task


async def test_imports_leave_the_main_thread_alone(project: Project) -> None:
    """New code is imported in a thread of its own, whose name says so."""
    await project.start({"main.py": "from tests.projects import answering\napp = answering(globals())"})
    text = "import threading\nfrom tests.projects import answering, trace\n"
    text += "trace.append(threading.current_thread().name)\napp = answering(globals())"
    await project.reload({"main.py": text})
    assert trace == ["hotsession load"]
    assert threading.current_thread() is threading.main_thread()
