"""What an edit does to a small project: which modules are loaded anew, and what new code sees afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.projects import Project, trace

pytestmark = pytest.mark.anyio

HEAD = """
from tests.projects import answering, trace
app = answering(globals())
"""


SEARCH = "import sys, os; sys.path.append(os.path.join(os.path.dirname(__file__), {!r}))\n"


async def test_from_import_in_three_levels(project: Project) -> None:
    """An edit at the bottom of a chain of `from x import f` shows at the top; the changed module is named first."""
    await project.start(
        {
            "main.py": HEAD + "from services import answer as index",
            "services.py": "from rules import answer",
            "rules.py": "def answer(): return 'old'",
        }
    )
    assert await project.get() == "old"
    outcome = await project.reload({"rules.py": "def answer(): return 'new'"})
    assert outcome.modules == ("rules", "main", "services")
    assert await project.get() == "new"


@pytest.mark.parametrize(
    ("statement", "expression"),
    [
        ("import shop.prices", "shop.prices.VAT"),
        ("import shop.prices as p", "p.VAT"),
        ("from shop import prices", "prices.VAT"),
        ("from shop.prices import VAT", "VAT"),
        ("from shop.prices import *", "VAT"),
        ("from shop import *", "prices.VAT"),
        ("import importlib; p = importlib.import_module('shop.prices')", "p.VAT"),
        ("import importlib; p = importlib.import_module('.prices', 'shop')", "p.VAT"),
        ("import shop; __import__('shop.prices')", "shop.prices.VAT"),
        ("if True:\n    import shop.prices", "shop.prices.VAT"),
        ("try:\n    import shop_fast as p\nexcept ImportError:\n    from shop import prices as p", "p.VAT"),
        ("", "__import__('shop.prices').prices.VAT"),
        ("def late():\n    from shop.prices import VAT\n    return VAT", "late()"),
        ("def late():\n    import shop.prices as p\n    return p.VAT", "late()"),
        ("def late():\n    import importlib\n    return importlib.import_module('shop.prices').VAT", "late()"),
    ],
)
async def test_every_way_to_import(project: Project, statement: str, expression: str) -> None:
    """Whichever way a module was imported, an edit of it shows, in its importer and twice in a row."""
    await project.start(
        {
            "main.py": HEAD + f"{statement}\ndef index(): return {expression}",
            "shop/__init__.py": "__all__ = ['prices']",
            "shop/prices.py": "VAT = 19",
        }
    )
    assert await project.get() == "19"
    for vat in (7, 20):
        await project.reload({"shop/prices.py": f"VAT = {vat}"})
        assert await project.get() == str(vat)


@pytest.mark.parametrize("statement", ["from . import prices", "from .prices import VAT", "from ..shop import prices"])
async def test_relative_imports(project: Project, statement: str) -> None:
    """Imports relative to the package are followed."""
    value = "VAT" if statement.endswith("VAT") else "prices.VAT"
    await project.start(
        {
            "site/__init__.py": "",
            "web/__init__.py": "",
            "web/main.py": HEAD + "from web.shop.cart import total as index",
            "web/shop/__init__.py": "",
            "web/shop/cart.py": f"{statement}\ndef total(): return {value}",
            "web/shop/prices.py": "VAT = 19",
        },
        "web.main:app",
    )
    outcome = await project.reload({"web/shop/prices.py": "VAT = 7"})
    assert set(outcome.modules) == {"web.shop.prices", "web.shop.cart", "web.main"}
    assert await project.get() == "7"


async def test_only_what_depends_on_the_change(project: Project) -> None:
    """Modules that have nothing to do with the change are the same objects before and after."""
    await project.start(
        {
            "main.py": HEAD + "import left, right\ndef index(): return id(right), left.X",
            "left.py": "X = 1",
            "right.py": "X = 1",
        }
    )
    right = sys.modules["right"]
    outcome = await project.reload({"left.py": "X = 2"})
    assert set(outcome.modules) == {"left", "main"}
    assert sys.modules["right"] is right
    assert await project.get() == str((id(right), 2))


async def test_package_init(project: Project) -> None:
    """An edit of a package's `__init__` keeps its submodules, as objects and as attributes."""
    await project.start(
        {
            "main.py": HEAD + "import shop.cart\ndef index(): return shop.NAME, id(shop.cart)",
            "shop/__init__.py": "NAME = 'old'",
            "shop/cart.py": "",
        }
    )
    cart = sys.modules["shop.cart"]
    await project.reload({"shop/__init__.py": "NAME = 'new'"})
    assert await project.get() == str(("new", id(cart)))
    assert sys.modules["shop"].__dict__["cart"] is cart


async def test_a_submodule_that_nobody_imports_anew(project: Project) -> None:
    """New code of a package finds a submodule that was carried over as its attribute, as it did before."""
    await project.start(
        {
            "main.py": HEAD + "import shop.cart, other\ndef index(): return shop.cart.X",
            "other.py": "import shop.late",
            "shop/__init__.py": "",
            "shop/cart.py": "X = 1",
            "shop/late.py": "X = 1",
        }
    )
    await project.reload({"shop/__init__.py": "NAME = 'new'"})
    assert sys.modules["shop"].__dict__["late"] is sys.modules["shop.late"]


async def test_namespace_package(project: Project) -> None:
    """A package without `__init__`: a module in it is replaced, and a new one can be added."""
    await project.start(
        {
            "main.py": HEAD + "from plugins import hello\ndef index(): return hello.TEXT",
            "plugins/hello.py": "TEXT = 'old'",
        }
    )
    await project.reload({"plugins/hello.py": "TEXT = 'new'"})
    assert await project.get() == "new"
    await project.reload(
        {
            "plugins/hello.py": "from plugins.names import NAME\nTEXT = 'hello ' + NAME",
            "plugins/names.py": "NAME = 'Ada'",
        }
    )
    assert await project.get() == "hello Ada"
    await project.reload({"plugins/names.py": "NAME = 'Bob'"})
    assert await project.get() == "hello Bob"


async def test_a_package_that_loads_all_that_lies_in_it(project: Project) -> None:
    """A new file in a package that searches its directory is found, and a deleted one is gone."""
    init = """
        import importlib, pkgutil
        names = sorted(module.name for module in pkgutil.iter_modules(__path__))
        for name in names:
            importlib.import_module(f"{__name__}.{name}")
    """
    await project.start(
        {"main.py": HEAD + "import plugins\ndef index(): return plugins.names", "plugins/__init__.py": init}
    )
    await project.reload({"plugins/a.py": ""})
    await project.reload({"plugins/b.py": ""})
    assert await project.get() == "['a', 'b']"
    outcome = await project.reload({"plugins/a.py": None})
    assert "plugins.a" in outcome.removed
    assert await project.get() == "['b']"
    assert "plugins.a" not in sys.modules
    assert not hasattr(sys.modules["plugins"], "a")


async def test_an_optional_module_appears_and_goes(project: Project) -> None:
    """Who tried to import a module in vain gets it when it is there, and does without when it is gone."""
    await project.start(
        {
            "main.py": HEAD
            + "try:\n    import extra\nexcept ImportError:\n    extra = None\ndef index(): return extra and extra.X",
        }
    )
    assert await project.get() == "None"
    await project.reload({"extra.py": "X = 1"})
    assert await project.get() == "1"
    await project.reload({"extra.py": None})
    assert await project.get() == "None"
    await project.reload({"extra/__init__.py": "X = 2"})
    assert await project.get() == "2"


async def test_a_module_that_a_function_missed(project: Project) -> None:
    """A function tried to import it in vain while a request ran; when it appears the next request gets it."""
    await project.start(
        {
            "main.py": HEAD + "from contextlib import suppress\ndef index():\n    x = None\n"
            "    with suppress(ImportError):\n        from extra import X as x\n    return x",
        }
    )
    assert await project.get() == "None"
    assert await project.save({"unrelated.py": ""}) is None
    await project.save({"extra.py": "X = 1"})
    assert await project.get() == "1"
    await project.reload({"extra.py": "X = 2"})
    assert await project.get() == "2"


async def test_a_renamed_module(project: Project) -> None:
    """A module moves and its importer follows, in one save."""
    await project.start({"main.py": HEAD + "from old_name import X\ndef index(): return X", "old_name.py": "X = 1"})
    outcome = await project.reload(
        {"old_name.py": None, "new_name.py": "X = 2", "main.py": HEAD + "from new_name import X\ndef index(): return X"}
    )
    assert outcome.removed == ("old_name",)
    assert await project.get() == "2"
    assert "old_name" not in sys.modules


async def test_a_module_becomes_a_package(project: Project) -> None:
    """`services.py` is split into `services/__init__.py` and a submodule."""
    await project.start({"main.py": HEAD + "import services\ndef index(): return services.X", "services.py": "X = 1"})
    await project.reload({"services.py": None, "services/__init__.py": "from .x import X", "services/x.py": "X = 2"})
    assert await project.get() == "2"
    await project.reload({"services/x.py": "X = 3"})
    assert await project.get() == "3"


async def test_a_package_becomes_a_module(project: Project) -> None:
    """The other way round."""
    await project.start(
        {
            "main.py": HEAD + "import services\ndef index(): return services.X",
            "services/__init__.py": "from .x import X",
            "services/x.py": "X = 1",
        }
    )
    await project.reload({"services/__init__.py": None, "services/x.py": None, "services.py": "X = 2"})
    assert await project.get() == "2"
    assert "services.x" not in sys.modules


async def test_deleted_names_are_gone(project: Project) -> None:
    """A name that was deleted from a module is not there any more, as `importlib.reload` would leave it."""
    await project.start({"main.py": HEAD + "def index(): return 'GONE' in globals()\nGONE = 1"})
    assert await project.get() == "True"
    await project.reload({"main.py": HEAD + "def index(): return 'GONE' in globals()"})
    assert await project.get() == "False"


async def test_an_import_cycle_that_works(project: Project) -> None:
    """Two modules that import each other as uvicorn allows it are replaced together, whichever changed."""
    await project.start(
        {
            "main.py": HEAD + "import ring_a\ndef index(): return ring_a.value(), ring_a.ring_b.value()",
            "ring_a.py": "import ring_b\nX = 1\ndef value(): return ring_b.Y",
            "ring_b.py": "import ring_a\nY = 1\ndef value(): return ring_a.X",
        }
    )
    await project.reload({"ring_b.py": "import ring_a\nY = 2\ndef value(): return ring_a.X"})
    assert await project.get() == "(2, 1)"
    await project.reload({"ring_a.py": "import ring_b\nX = 3\ndef value(): return ring_b.Y"})
    assert await project.get() == "(2, 3)"


@pytest.mark.parametrize("statement", ["import pkg.a as a", "from pkg import a", "from . import a", "import pkg.a"])
async def test_an_import_cycle_inside_a_package(project: Project, statement: str) -> None:
    """A submodule that is imported while its importer is only half done is the new one."""
    value = "pkg.a.X" if statement == "import pkg.a" else "a.X"
    b = f"{statement}\nY = {{}}\ndef value(): return {value}"
    await project.start(
        {
            "main.py": HEAD + "import pkg.a\ndef index(): return pkg.a.b.value(), pkg.a.b.Y",
            "pkg/__init__.py": "from pkg import a",
            "pkg/a.py": "from pkg import b\nX = 1",
            "pkg/b.py": b.format(1),
        }
    )
    assert await project.get() == "(1, 1)"
    await project.reload({"pkg/b.py": b.format(2), "pkg/a.py": "from pkg import b\nX = 2"})
    assert await project.get() == "(2, 2)"
    await project.reload({"pkg/__init__.py": "from pkg import a\nNEW = 1", "pkg/a.py": "from pkg import b\nX = 3"})
    assert await project.get() == "(3, 2)"


async def test_scope_all(project: Project) -> None:
    """Code that registers itself in a module which did not change is right with `--reload-scope all`."""
    files = {
        "main.py": HEAD + "import registered, handlers\ndef index(): return registered.names",
        "registered.py": "names = []",
        "handlers.py": "import registered\nregistered.names.append('x')",
    }
    await project.start(files, scope="all")
    outcome = await project.reload({"handlers.py": files["handlers.py"] + "\n"})
    assert set(outcome.modules) == {"main", "registered", "handlers"}
    assert await project.get() == "['x']"


async def test_scope_changed_registers_twice(project: Project) -> None:
    """The limit that `--reload-scope all` is for, so that nobody is surprised by it."""
    await project.start(
        {
            "main.py": HEAD + "import registered, handlers\ndef index(): return registered.names",
            "registered.py": "names = []",
            "handlers.py": "import registered\nregistered.names.append('x')",
        }
    )
    await project.reload({"handlers.py": "import registered\nregistered.names.append('y')"})
    assert await project.get() == "['x', 'y']"


async def test_a_watched_file_that_is_no_module(project: Project) -> None:
    """Settings that were read at import are read anew."""
    await project.start(
        {
            "main.py": HEAD + "import settings\ndef index(): return settings.text",
            "settings.py": "import pathlib\ntext = pathlib.Path(__file__).with_name('settings.toml').read_text()",
            "settings.toml": "old",
        },
        includes=("*.toml",),
    )
    await project.reload({"settings.toml": "new"})
    assert await project.get() == "new"


async def test_installed_packages_are_never_reloaded(project: Project) -> None:
    """What lies in `site-packages` or a virtual environment inside the project is not watched, not even with `all`."""
    await project.start(
        {
            "main.py": HEAD + "import sys\nfor d in ('env', 'lib/site-packages'):\n"
            "    sys.path.append(f'{__file__.rpartition(chr(47))[0]}/{d}')\n"
            "import in_venv, installed, json, hotsession, starlette\ndef index(): return in_venv.X, installed.X",
            "env/pyvenv.cfg": "",
            "env/in_venv.py": "X = 1",
            "lib/site-packages/installed.py": "X = 1",
        },
        scope="all",
    )
    foreign = {name: sys.modules[name] for name in ("in_venv", "installed", "json", "hotsession", "starlette")}
    assert await project.save({"env/in_venv.py": "X = 2", "lib/site-packages/installed.py": "X = 2"}) is None
    outcome = await project.reload({"main.py": (project.path / "main.py").read_text() + "\n"})
    assert outcome.modules == ("main",)
    assert {name: sys.modules[name] for name in foreign} == foreign
    assert await project.get() == "(1, 1)"


async def test_a_module_named_like_the_standard_librarys(project: Project) -> None:
    """An own module that goes by a name which the process has already is not mistaken for it."""
    await project.start(
        {
            "main.py": HEAD + "from web import json\ndef index(): return json.X",
            "web/__init__.py": "",
            "web/json.py": "import json\nX = json.dumps(1)",
        }
    )
    await project.reload({"web/json.py": "import json\nX = json.dumps(2)"})
    assert await project.get() == "2"
    assert sys.modules["json"] is json


async def test_a_changed_extension_asks_for_a_restart(project: Project) -> None:
    """The process has to restart, and the reason names the extension."""
    await project.start({"main.py": HEAD + "def index(): return 1"})
    extension = project.path / "fast.so"
    reloader = project.host._reloader
    assert reloader is not None
    assert reloader.current is not None
    reloader.current.codebase.graph.extensions["fast"] = str(extension)
    assert await project.save({"fast.so": "?"}) is None
    assert project.restarts == ["fast is a compiled extension, which a process loads only once"]


async def test_invalidate_asks_for_a_restart(project: Project) -> None:
    """A module that can't be replaced in place says so; the old code goes on until the new process is there."""
    await project.start({"main.py": HEAD + "def index(): return 'old'"})
    invalid = "import hotsession\nhotsession.module(__name__).invalidate('opens a device')\ndef index(): return 'new'"
    assert await project.save({"main.py": HEAD + invalid}) is None
    assert project.restarts == ["opens a device"]
    assert await project.get() == "old"


async def test_main_style_target_and_file_names(project: Project) -> None:
    """`__name__`, `__file__` and `__spec__` are what they are under uvicorn, also after a reload."""
    text = HEAD + "def index(): return __name__, __file__, __spec__.name, __package__, __doc__\n"
    await project.start({"main.py": text})
    expected = str(("main", str(project.path / "main.py"), "main", "", None))
    assert await project.get() == expected
    await project.reload({"main.py": text + "\n"})
    assert await project.get() == expected


async def test_a_path_through_a_symbolic_link(project: Project, tmp_path: Path) -> None:
    """A project that is imported through a link is reloaded, although the watcher names where the files really lie."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "helper.py").write_text("X = 1")
    (tmp_path / "link").symlink_to(real)
    await project.start({"main.py": HEAD + SEARCH.format("link") + "from helper import X\ndef index(): return X"})
    await project.reload({"real/helper.py": "X = 2"})
    assert await project.get() == "2"


async def test_a_linked_file(project: Project, tmp_path: Path) -> None:
    """`settings.py` is a link to the settings of development: an edit of those counts."""
    (tmp_path / "settings_dev.py").write_text("X = 1")
    (tmp_path / "settings.py").symlink_to("settings_dev.py")
    await project.start({"main.py": HEAD + "from settings import X\ndef index(): return X"})
    await project.reload({"settings_dev.py": "X = 2"})
    assert await project.get() == "2"


async def test_a_new_module_below_a_link(project: Project, tmp_path: Path) -> None:
    """A module that was missed appears in a directory that is on the search path through a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    tries = "try:\n    from helper import X\nexcept ImportError:\n    X = None\ndef index(): return X"
    await project.start({"main.py": HEAD + SEARCH.format("link") + tries})
    await project.reload({"real/helper.py": "X = 1"})
    assert await project.get() == "1"


async def test_a_file_that_is_loaded_twice(project: Project) -> None:
    """As `models` and as `app.models`, as it happens where both directories are on the search path."""
    await project.start(
        {
            "main.py": HEAD + SEARCH.format("app") + "import models, app.models\n"
            "this = answering(globals())\ndef index(): return models.X, app.models.X",
            "app/__init__.py": "",
            "app/models.py": "X = 1",
        },
        "main:this",
    )
    await project.reload({"app/models.py": "X = 2"})
    assert await project.get() == "(2, 2)"


async def test_modules_in_several_roots(project: Project, tmp_path: Path) -> None:
    """A watched directory besides the target's, as in a monorepo; what lies beside both is not reloaded."""
    await project.start(
        {
            "app/__init__.py": "",
            "app/main.py": HEAD
            + SEARCH.format("../libs")
            + SEARCH.format("../other")
            + "from common import X\nfrom fixed import Y\ndef index(): return X, Y",
            "libs/common.py": "X = 1",
            "other/fixed.py": "Y = 1",
        },
        "app.main:app",
        watch_dirs=(tmp_path / "app", tmp_path / "libs"),
    )
    await project.reload({"libs/common.py": "X = 2", "other/fixed.py": "Y = 2"})
    assert await project.get() == "(2, 1)"


async def test_new_code_imports_each_module_once(project: Project) -> None:
    """However many modules import it."""
    await project.start(
        {
            "main.py": HEAD + "import a, b, c\ndef index(): return 1",
            "a.py": "import c, b",
            "b.py": "from c import X",
            "c.py": "from tests.projects import trace\nX = 1\ntrace.append('c')",
        }
    )
    await project.reload({"c.py": "from tests.projects import trace\nX = 2\ntrace.append('c again')"})
    assert trace == ["c", "c again"]
