"""Apps of strangers who never heard of hotsession: a tutorial in many files, and all kinds of things done at import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

# The layout of FastAPI's "Bigger Applications", with lifespan, background tasks, templates, static files, a chat, and
# string annotations everywhere.
SHOP = {
    "app/__init__.py": "",
    "app/config.py": """
        from functools import lru_cache
        from pydantic import BaseModel

        class Settings(BaseModel):
            title: str = "Shop 1"
            tax: float = 0.1

        @lru_cache
        def get_settings():
            return Settings()
    """,
    "app/models.py": """
        from __future__ import annotations
        from enum import Enum
        from typing import Generic, Literal, TypeVar
        from pydantic import BaseModel, Field, field_validator

        T = TypeVar("T")

        class Size(str, Enum):
            small = "small"
            large = "large"

        class Item(BaseModel):
            name: str = Field(min_length=1)
            price: float = Field(gt=0)
            size: Size = Size.small
            parts: list[Item] = []

            @field_validator("name")
            @classmethod
            def tidy(cls, value: str) -> str:
                return value.strip()

        class Page(BaseModel, Generic[T]):
            items: list[T]
            total: int
    """,
    "app/dependencies.py": """
        from __future__ import annotations
        from typing import Annotated
        from fastapi import Depends, Header, HTTPException
        from .config import Settings, get_settings

        class Store:
            def __init__(self) -> None:
                self.items: dict = {}

        store = Store()

        def get_store() -> Store:
            return store

        async def get_token_header(x_token: Annotated[str, Header()] = "coneofsilence"):
            if x_token != "coneofsilence":
                raise HTTPException(status_code=400, detail="X-Token header invalid")
            return x_token

        StoreDep = Annotated[Store, Depends(get_store)]
        SettingsDep = Annotated[Settings, Depends(get_settings)]
    """,
    "app/routers/__init__.py": "",
    "app/routers/items.py": """
        from __future__ import annotations
        from fastapi import APIRouter, BackgroundTasks, Depends
        from ..dependencies import SettingsDep, StoreDep, get_token_header
        from ..internal.mail import send_mail
        from ..models import Item, Page

        router = APIRouter(prefix="/items", tags=["items"], dependencies=[Depends(get_token_header)])

        @router.get("/")
        async def read_items(store: StoreDep) -> Page[Item]:
            return Page[Item](items=list(store.items.values()), total=len(store.items))

        @router.put("/{name}")
        def put_item(name: str, item: Item, store: StoreDep, settings: SettingsDep, tasks: BackgroundTasks) -> Item:
            store.items[name] = item.model_dump(mode="json")
            tasks.add_task(send_mail, name)
            return item.model_copy(update={"price": item.price * (1 + settings.tax)})
    """,
    "app/routers/pages.py": """
        from pathlib import Path
        from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
        from fastapi.responses import HTMLResponse

        router = APIRouter()
        templates = Path(__file__).parent.parent / "templates"

        class ConnectionManager:
            def __init__(self):
                self.active = []

            async def broadcast(self, text):
                for each in self.active:
                    await each.send_text(text)

        manager = ConnectionManager()

        @router.get("/", response_class=HTMLResponse)
        async def index(request: Request):
            url = request.url_for("static", path="style.css")
            return (templates / "index.html").read_text().format(title=request.app.title, style=url)

        @router.websocket("/ws/{client_id}")
        async def talk(websocket: WebSocket, client_id: int):
            await websocket.accept()
            manager.active.append(websocket)
            try:
                while True:
                    await manager.broadcast(f"#{client_id} says {await websocket.receive_text()}")
            except WebSocketDisconnect:
                manager.active.remove(websocket)
    """,
    "app/internal/__init__.py": "",
    "app/internal/mail.py": """
        sent = []

        def send_mail(name):
            sent.append(f"bought {name}")
    """,
    "app/main.py": """
        import time
        from contextlib import asynccontextmanager
        from pathlib import Path
        from fastapi import FastAPI, Request
        from fastapi.middleware.cors import CORSMiddleware
        from fastapi.responses import JSONResponse
        from fastapi.staticfiles import StaticFiles
        from .config import get_settings
        from .internal.mail import sent
        from .routers import items, pages

        class Unicorn(Exception):
            pass

        @asynccontextmanager
        async def lifespan(app: FastAPI):
            app.state.model = lambda x: x * 2
            yield
            app.state.model = None

        app = FastAPI(title=get_settings().title, lifespan=lifespan)
        app.add_middleware(CORSMiddleware, allow_origins=["*"])
        app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
        app.include_router(items.router)
        app.include_router(pages.router)

        @app.middleware("http")
        async def add_process_time_header(request: Request, call_next):
            start = time.perf_counter()
            response = await call_next(request)
            response.headers["X-Process-Time"] = str(time.perf_counter() - start)
            return response

        @app.exception_handler(Unicorn)
        async def unicorn(request: Request, error: Unicorn):
            return JSONResponse(status_code=418, content={"message": "oops"})

        @app.get("/unicorn")
        async def raise_unicorn():
            raise Unicorn

        @app.get("/predict/{x}")
        async def predict(x: int):
            return app.state.model(x)

        @app.get("/mails")
        async def mails() -> list[str]:
            return sent
    """,
    "app/templates/index.html": "<title>{title}</title><link href={style}>",
    "app/static/style.css": "body { color: red }",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shop on a server; whatever is edited nothing goes wrong in the log."""
    project = write_project(tmp_path_factory.mktemp("shop") / "shop", SHOP)
    with Server(hotsession_run("app.main:app", "--no-access-log"), project) as server:
        yield server
        assert "ERROR" not in server.log
        assert "Warning" not in server.log
        assert "Restarting" not in server.log


def test_the_shop_works_as_under_uvicorn(shop: Server) -> None:
    """Routers, dependencies, models, middleware, handlers, lifespan state, static files and the docs."""
    assert shop.put("/items/pen", json={"name": " pen ", "price": 10}).json()["price"] == 11
    assert shop.get("/items/").json()["items"][0]["name"] == "pen"
    assert shop.get("/items/", headers={"x-token": "wrong"}).status_code == 400
    assert shop.put("/items/x", json={"name": "x", "price": -1}).status_code == 422
    assert shop.get("/unicorn").status_code == 418
    assert shop.get("/predict/21").json() == 42
    assert "bought pen" in shop.get("/mails").json()
    assert "X-Process-Time" in shop.get("/static/style.css").headers
    assert shop.get("/openapi.json").json()["info"]["title"] == shop.get("/").text[7:13]


EDITS = [
    ("config.py", '"Shop 1"', '"Shop 2"', "/openapi.json", '"Shop 2"'),
    ("models.py", "value.strip()", "value.strip().upper()", "/items/", "PEN"),
    ("models.py", 'large = "large"', 'large = "big"', "/openapi.json", '"big"'),
    ("models.py", "    parts:", "    colour: str = 'blue'\n    parts:", "/items/", "blue"),
    ("models.py", "class Page", "class Unused(BaseModel):\n    x: int = 0\n\nclass Page", "/openapi.json", "colour"),
    ("dependencies.py", "coneofsilence", "open sesame", "/openapi.json", "open sesame"),
    ("internal/mail.py", "bought", "purchased", "/mails", "purchased pen"),
    ("routers/items.py", 'tags=["items"]', 'tags=["goods"]', "/openapi.json", "goods"),
    ("main.py", "x * 2", "x * 3", "/predict/21", "63"),
    ("main.py", "418", "419", "/predict/21", "63"),
]


@pytest.mark.parametrize(("file", "old", "new", "path", "shows"), EDITS, ids=[f"{e[0]}: {e[2][:12]}" for e in EDITS])
def test_an_edit_of_the_shop_shows(shop: Server, file: str, old: str, new: str, path: str, shows: str) -> None:
    """Each file of the app is edited in turn: the answer changes, and the rest of the app still works."""
    shop.edit(f"app/{file}", old, new)

    def seen() -> bool:
        shop.put("/items/pen", json={"name": " pen ", "price": 10})
        return shows in shop.get(path).text

    wait_until(seen)
    assert shop.put("/items/pen", json={"name": "pen", "price": 10}).json()["price"] == 11
    assert shop.get("/items/").raise_for_status().json()["total"] == 1


def test_a_chat_room_of_the_tutorial_survives_edits_of_other_files(shop: Server) -> None:
    """The connection manager of FastAPI's WebSocket tutorial: who is connected goes on, whatever is saved elsewhere."""
    with (
        connect(f"{shop.ws_url}/ws/1", open_timeout=DEADLINE) as one,
        connect(f"{shop.ws_url}/ws/2", open_timeout=DEADLINE) as two,
    ):
        one.send("hello")
        assert (one.recv(DEADLINE), two.recv(DEADLINE)) == ("#1 says hello",) * 2
        shop.edit("app/internal/mail.py", "def send_mail", "VERSION = 2\n\ndef send_mail")
        shop.wait_for_line("2 connections carried over")
        two.send("still here")
        assert (one.recv(DEADLINE), two.recv(DEADLINE)) == ("#2 says still here",) * 2


AT_IMPORT = {
    "get_event_loop": "loop = asyncio.get_event_loop()\nready = loop.create_future()\nready.set_result(1)",
    "create_task": "ready = asyncio.get_running_loop().create_task(asyncio.sleep(0, 1))",
    "ensure_future": "async def one():\n    return 1\nready = asyncio.ensure_future(one())",
    "signal handler": "signal.signal(signal.SIGUSR1, lambda *_: None)\nready = asyncio.sleep(0, 1)",
    "thread": "threading.Thread(target=time.sleep, args=(0,)).start()\nready = asyncio.sleep(0, 1)",
    "atexit and multiprocessing": "atexit.register(print, 'bye')\npool = concurrent.futures.ProcessPoolExecutor(1)\n"
    "ready = asyncio.sleep(0, 1)",
}


@pytest.mark.parametrize("code", AT_IMPORT.values(), ids=AT_IMPORT)
def test_what_may_be_done_at_import_may_be_done_at_a_reload(tmp_path: Path, code: str) -> None:
    """Event loops, tasks, signal handlers, threads and pools made by modules, as under uvicorn, again at each save."""
    main = f"""
import asyncio, atexit, concurrent.futures, json, signal, threading, time
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

WORD = "old"
{code}

async def home(request):
    global ready
    if not isinstance(ready, int):
        ready = await ready
    return JSONResponse([WORD, ready])

app = Starlette(routes=[Route("/", home)])
"""
    project = write_project(tmp_path / "app", {"main.py": main})
    with Server(hotsession_run("main:app"), project) as server:
        assert server.get("/").json() == ["old", 1]
        server.edit("main.py", '"old"', '"new"')
        wait_until(lambda: server.get("/").json() == ["new", 1])
        server.edit("main.py", '"new"', '"newest"')
        wait_until(lambda: server.get("/").json() == ["newest", 1])
        assert "ERROR" not in server.log
