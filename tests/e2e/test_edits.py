"""Every kind of edit, with its outcome: real files saved under one real server, which answers by the new code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import os
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import constants, functions, paths, reader, writer
        import shop
        from constants import COLOUR
        from level_one import say
        from outer.inner import deep
        from shop.cart import Cart
        from shop import checkout

        TITLE = "first"

        def optional():
            try:
                import extra
            except ImportError:
                return "nothing extra"
            return extra.WHAT

        def late():
            from functions import LATE
            return LATE

        cart = Cart()

        async def home(request):
            return JSONResponse({
                "pid": os.getpid(), "title": TITLE, "constant": constants.SIZE, "from": COLOUR,
                "body": functions.answer(), "decorated": functions.greet(), "levels": say(),
                "optional": optional(), "late": late(), "limit": Cart.limit, "owner": cart.owner,
                "package": shop.NAME, "total": checkout.total(), "region": checkout.region,
                "deep": deep.NAME, "marks": [reader.MARK, writer.MARK],
            })

        async def stored(request):
            writer.write(request.query_params["value"])
            return JSONResponse(reader.read())

        app = Starlette(routes=[Route("/", home), Route("/stored", stored), *paths.routes])
    """,
    "constants.py": "SIZE = 1\nCOLOUR = 'red'\n",
    "functions.py": """
        from decorators import loud

        LATE = "early"

        def answer():
            return 41

        @loud
        def greet():
            return "hello"
    """,
    "decorators.py": """
        import functools

        def loud(function):
            @functools.wraps(function)
            def wrapper():
                return function().upper()
            return wrapper
    """,
    "paths.py": """
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        async def here(request):
            return PlainTextResponse(request.url.path)

        routes = [Route("/old-path", here)]
    """,
    "level_one.py": "from level_two import say\n",
    "level_two.py": "from level_three import say\n",
    "level_three.py": "def say():\n    return 'three'\n",
    "store.py": "from hotsession import keep\n\nMARK = 1\nX = keep('x', dict)\n",
    "reader.py": "from store import X\n\nMARK = 1\n\ndef read():\n    return dict(X)\n",
    "writer.py": """
        from store import X

        MARK = 1

        def write(value):
            X[value] = MARK
    """,
    "shop/__init__.py": "NAME = 'corner shop'\n",
    "shop/cart.py": """
        class Cart:
            limit = 3

            def __init__(self):
                self.owner = "nobody"
    """,
    "shop/checkout.py": """
        from .cart import Cart
        from .regions import north as place

        region = place.NAME

        def total():
            return Cart().limit * 10
    """,
    "shop/regions/north.py": "NAME = 'north'\n",  # a namespace package: no __init__.py
    "outer/inner/deep.py": "NAME = 'deep'\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all edits; it must be the same process at the end, and nothing may have gone wrong."""
    project = write_project(tmp_path_factory.mktemp("edits") / "app", PROJECT)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        first = server.get("/").json()["pid"]
        yield server
        assert server.get("/").json()["pid"] == first
        assert "Restarting" not in server.log
        assert "Traceback" not in server.log


def shows(server: Server, **expected: object) -> None:
    """Wait until the home page says so."""

    def seen() -> bool:
        answer = server.get("/").raise_for_status().json()
        return {name: answer[name] for name in expected} == expected

    wait_until(seen, what=f"{expected}")


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        pytest.param("constants.py", "SIZE = 1", "SIZE = 2", {"constant": 2}, id="constant"),
        pytest.param("constants.py", "'red'", "'blue'", {"from": "blue"}, id="constant imported by name"),
        pytest.param("functions.py", "return 41", "return 42", {"body": 42}, id="function body"),
        pytest.param("functions.py", '"early"', '"later"', {"late": "later"}, id="imported in a function"),
        pytest.param("functions.py", "@loud\n", "", {"decorated": "hello"}, id="decorator taken away"),
        pytest.param("decorators.py", ".upper()", "[::-1]", {"body": 42}, id="decorator that nobody uses"),
        pytest.param("functions.py", "def greet", "@loud\ndef greet", {"decorated": "olleh"}, id="decorator added"),
        pytest.param("decorators.py", "[::-1]", ".title()", {"decorated": "Hello"}, id="decorator's own body"),
        pytest.param("level_three.py", "'three'", "'III'", {"levels": "III"}, id="from import through three levels"),
        pytest.param("shop/cart.py", "limit = 3", "limit = 4", {"limit": 4, "total": 40}, id="class body"),
        pytest.param("shop/cart.py", "nobody", "Ann", {"owner": "Ann"}, id="attribute set in __init__"),
        pytest.param("shop/__init__.py", "corner", "big", {"package": "big shop", "total": 40}, id="package __init__"),
        pytest.param("shop/regions/north.py", "'north'", "'south'", {"region": "south"}, id="namespace package"),
        pytest.param("outer/inner/deep.py", "'deep'", "'deeper'", {"deep": "deeper"}, id="namespaces in namespaces"),
        pytest.param("main.py", '"first"', '"second"', {"title": "second"}, id="the target itself"),
    ],
)
def test_an_edit_shows(server: Server, file: str, old: str, new: str, expected: dict[str, object]) -> None:
    """What was edited is what answers, wherever it came in by import."""
    server.edit(file, old, new)
    shows(server, **expected)


def test_a_route_moves(server: Server) -> None:
    """A new path answers, and the old one is gone."""
    assert server.get("/old-path").status_code == 200
    server.edit("paths.py", "/old-path", "/new-path")
    wait_until(lambda: server.get("/new-path").status_code == 200)
    assert server.get("/old-path").status_code == 404


def test_a_kept_value_is_one_object_for_all(server: Server) -> None:
    """Whichever of three modules is edited, what one writes into the kept value the others read, old items included."""
    server.get("/stored", params={"value": "before"})
    for count, (file, marks) in enumerate([("reader.py", [2, 1]), ("writer.py", [2, 2]), ("reader.py", [3, 2])]):
        mark = marks[("reader.py", "writer.py").index(file)]
        server.edit(file, f"MARK = {mark - 1}", f"MARK = {mark}")
        shows(server, marks=marks)
        answer = server.get("/stored", params={"value": str(count)}).json()
        assert set(answer) == {"before", *map(str, range(count + 1))}
    since = len(server.log)
    server.edit("store.py", "MARK = 1", "MARK = 2")
    server.wait_for_line(r"Reloaded .*kept x\b", since=since)
    assert set(server.get("/stored", params={"value": "last"}).json()) == {"before", "0", "1", "2", "last"}


def test_modules_come_and_go(server: Server) -> None:
    """A module that was missed is used once it is there, edited like any other, missed again, renamed and moved."""
    shows(server, optional="nothing extra")
    server.write("extra.py", "WHAT = 'an extra'\n")
    shows(server, optional="an extra")
    server.edit("extra.py", "an extra", "another")
    shows(server, optional="another")
    (server.directory / "extra.py").unlink()
    shows(server, optional="nothing extra")
    server.write("moved.py", "WHAT = 'in a package now'\n")
    (server.directory / "extra").mkdir()
    (server.directory / "moved.py").rename(server.directory / "extra" / "__init__.py")
    shows(server, optional="in a package now")


def test_a_module_is_renamed_with_its_import(server: Server) -> None:
    """A file renamed and its importer saved after it: the new name is loaded, the old one is gone."""
    (server.directory / "level_three.py").rename(server.directory / "level_3.py")
    server.edit("level_two.py", "level_three", "level_3")
    server.edit("level_3.py", "return '", "return 'renamed ")
    wait_until(lambda: server.get("/").json()["levels"].startswith("renamed "))


def test_a_new_module_is_imported_at_once(server: Server) -> None:
    """A new module and the import of it, saved in either order, are one working app."""
    server.edit("constants.py", "SIZE = ", "import brand_new\nSIZE = brand_new.SIZE or ")
    server.wait_for_line("No module named 'brand_new'")
    server.write("brand_new.py", "SIZE = 99\n")
    shows(server, constant=99)


def test_two_saves_of_equal_size_within_a_second_both_show(server: Server) -> None:
    """Each of two saves that no .pyc could tell apart (same size, same second) is what answers after it."""
    for title in ("ninth", "tenth", "fifth"):
        text = (server.directory / "main.py").read_text()
        start = text.index("TITLE = ")
        end = text.index("\n", start)
        server.write("main.py", f'{text[:start]}TITLE = "{title}"{text[end:]}')
        shows(server, title=title)
