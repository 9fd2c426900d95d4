"""The adapters under the real host: FastAPI's SQL tutorial and an app with metrics, edited while they serve."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlmodel import SQLModel
from sqlmodel.main import default_registry

from tests.projects import Project

pytestmark = pytest.mark.anyio

DATABASE = """
    from sqlalchemy.pool import StaticPool
    from sqlmodel import Session, create_engine
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    def get_session():
        with Session(engine) as session:
            yield session
"""
MODELS = """
    from sqlmodel import Field, Relationship, SQLModel
    class Team(SQLModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
        name: str
        heroes: list["Hero"] = Relationship(back_populates="team")
    class HeroBase(SQLModel):
        name: str
    class Hero(HeroBase, table=True):
        id: int | None = Field(default=None, primary_key=True)
        team_id: int | None = Field(default=None, foreign_key="team.id")
        team: Team | None = Relationship(back_populates="heroes")
    class HeroPublic(HeroBase):
        id: int
"""
MAIN = """
    from contextlib import asynccontextmanager
    from typing import Annotated
    from fastapi import Depends, FastAPI
    from prometheus_client import Counter
    from sqlmodel import Session, SQLModel, select
    from tests.projects import barrier
    from database import engine, get_session
    from models import Hero, HeroPublic, Team
    hits = Counter("hits", "How often.")
    barrier.pass_by()
    @asynccontextmanager
    async def lifespan(app):
        SQLModel.metadata.create_all(engine)
        yield
    app = FastAPI(lifespan=lifespan)
    @app.get("/new")
    def create(session: Annotated[Session, Depends(get_session)]) -> HeroPublic:
        hits.inc()
        hero = Hero(name="Deadpond", team=Team(name="Z-Force"))
        session.add(hero)
        session.commit()
        session.refresh(hero)
        return hero
    @app.get("/")
    def show(session: Annotated[Session, Depends(get_session)]) -> list[str]:
        hits.inc()
        return [f"{hero.name} of {hero.team.name}" for hero in session.exec(select(Hero)).all()]
"""
FILES = {"database.py": DATABASE, "models.py": MODELS, "main.py": MAIN.replace("barrier.pass_by()", "barrier.wait()")}


@pytest.fixture(autouse=True)
def clean_libraries() -> Iterator[None]:
    """Leave nothing in the registries that the whole process shares."""
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)
    default_registry.dispose(cascade=True)
    SQLModel.metadata.clear()
    gc.collect()


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """An empty project, stopped and forgotten after the test."""
    async with Project(tmp_path) as found:
        yield found
        if (database := sys.modules.get("database")) is not None:
            database.engine.dispose()


async def heroes(project: Project) -> Any:
    """What the app answers, parsed."""
    return json.loads(await project.get())


async def test_models_of_the_tutorial_are_edited(project: Project) -> None:
    """Each save of the models takes effect, the rows stay, and the counter goes on."""
    await project.start(FILES)
    await project.get("/new")
    for number in range(3):
        await project.reload({"models.py": MODELS + f"\n    number = {number}\n"})
        assert await heroes(project) == ["Deadpond of Z-Force"] * (number + 1)
        await project.get("/new")
    assert REGISTRY.get_sample_value("hits_total") == 7


async def test_old_code_serves_while_new_models_are_imported(project: Project) -> None:
    """Requests on old code work while new classes are half defined, and a failed load changes nothing."""
    await project.start(FILES)
    await project.get("/new")
    half = MODELS.replace(
        "    class HeroBase", "    from tests.projects import barrier\n    barrier.wait()\n    class HeroBase"
    )
    task = await project.begin({"models.py": half})
    await project.get("/new")
    assert await heroes(project) == ["Deadpond of Z-Force"] * 2
    from tests.projects import barrier

    barrier.open()
    await task
    await project.fail({"models.py": MODELS + "\n    1 / 0\n"})
    await project.get("/new")
    assert await heroes(project) == ["Deadpond of Z-Force"] * 3


async def test_app_comes_up_after_a_first_load_that_failed(project: Project) -> None:
    """Models and counters that broken code had registered before anything served don't stand in its cure's way."""
    assert not await project.start({**FILES, "main.py": MAIN.replace("barrier.pass_by()", "1 / 0")})
    await project.reload({"main.py": FILES["main.py"]})
    await project.get("/new")
    assert await heroes(project) == ["Deadpond of Z-Force"]


async def test_old_generations_are_collected(project: Project) -> None:
    """Nothing that a generation defined is alive when it has no work left, though its engine is carried over."""
    await project.start(FILES)
    for number in range(3):
        await project.get("/new")
        modules = sys.modules["models"], sys.modules["main"]
        watched = {
            name: weakref.ref(value)
            for module in modules
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
        }
        del modules
        await project.reload({"models.py": MODELS + f"\n    number = {number}\n"})
        await project.get("/new")
        await project.collect(list(watched.values()))
        assert [name for name, each in watched.items() if each() is not None] == []
