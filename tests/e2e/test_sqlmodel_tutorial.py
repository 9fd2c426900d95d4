"""FastAPI's tutorial with SQLModel in several files, as a stranger has it, edited under a real server."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

# FastAPI's tutorial "SQL (Relational) Databases", in several files as "Bigger Applications" has it.
HEROES = {
    "app/__init__.py": "",
    "app/models.py": """
        from sqlmodel import Field, Relationship, SQLModel

        class TeamBase(SQLModel):
            name: str = Field(index=True)

        class Team(TeamBase, table=True):
            id: int | None = Field(default=None, primary_key=True)
            heroes: list["Hero"] = Relationship(back_populates="team")

        class HeroBase(SQLModel):
            name: str = Field(index=True)
            age: int | None = Field(default=None, index=True)

        class Hero(HeroBase, table=True):
            id: int | None = Field(default=None, primary_key=True)
            secret_name: str
            team_id: int | None = Field(default=None, foreign_key="team.id")
            team: Team | None = Relationship(back_populates="heroes")

        class HeroPublic(HeroBase):
            id: int

        class HeroCreate(HeroBase):
            secret_name: str
            team_id: int | None = None

        class HeroUpdate(HeroBase):
            name: str | None = None
            age: int | None = None
            secret_name: str | None = None
    """,
    "app/database.py": """
        from typing import Annotated
        from fastapi import Depends
        from sqlmodel import Session, SQLModel, create_engine

        sqlite_file_name = "database.db"
        sqlite_url = f"sqlite:///{sqlite_file_name}"
        connect_args = {"check_same_thread": False}
        engine = create_engine(sqlite_url, connect_args=connect_args)

        def create_db_and_tables():
            SQLModel.metadata.create_all(engine)

        def get_session():
            with Session(engine) as session:
                yield session

        SessionDep = Annotated[Session, Depends(get_session)]
    """,
    "app/routers/__init__.py": "",
    "app/routers/heroes.py": """
        from typing import Annotated
        from fastapi import APIRouter, HTTPException, Query
        from sqlmodel import select
        from ..database import SessionDep
        from ..models import Hero, HeroCreate, HeroPublic, HeroUpdate

        router = APIRouter(prefix="/heroes", tags=["heroes"])

        @router.post("/", response_model=HeroPublic)
        def create_hero(hero: HeroCreate, session: SessionDep):
            db_hero = Hero.model_validate(hero)
            session.add(db_hero)
            session.commit()
            session.refresh(db_hero)
            return db_hero

        @router.get("/", response_model=list[HeroPublic])
        def read_heroes(session: SessionDep, offset: int = 0, limit: Annotated[int, Query(le=100)] = 100):
            return session.exec(select(Hero).offset(offset).limit(limit)).all()

        @router.get("/{hero_id}", response_model=HeroPublic)
        def read_hero(hero_id: int, session: SessionDep):
            hero = session.get(Hero, hero_id)
            if not hero:
                raise HTTPException(status_code=404, detail="Hero not found")
            return hero

        @router.patch("/{hero_id}", response_model=HeroPublic)
        def update_hero(hero_id: int, hero: HeroUpdate, session: SessionDep):
            hero_db = session.get(Hero, hero_id)
            if not hero_db:
                raise HTTPException(status_code=404, detail="Hero not found")
            hero_db.sqlmodel_update(hero.model_dump(exclude_unset=True))
            session.add(hero_db)
            session.commit()
            session.refresh(hero_db)
            return hero_db

        @router.get("/{hero_id}/team")
        def team_of(hero_id: int, session: SessionDep):
            hero = session.get(Hero, hero_id)
            return {"team": hero.team.name if hero.team else None,
                    "mates": sorted(each.name for each in hero.team.heroes) if hero.team else []}
    """,
    "app/routers/teams.py": """
        from fastapi import APIRouter
        from sqlmodel import select
        from ..database import SessionDep
        from ..models import Team, TeamBase

        router = APIRouter(prefix="/teams", tags=["teams"])

        @router.post("/", response_model=Team)
        def create_team(team: TeamBase, session: SessionDep):
            db_team = Team.model_validate(team)
            session.add(db_team)
            session.commit()
            session.refresh(db_team)
            return db_team
    """,
    "app/main.py": """
        from contextlib import asynccontextmanager
        from fastapi import FastAPI
        from .database import create_db_and_tables
        from .routers import heroes, teams

        @asynccontextmanager
        async def lifespan(app: FastAPI):
            create_db_and_tables()
            yield

        app = FastAPI(lifespan=lifespan)
        app.include_router(heroes.router)
        app.include_router(teams.router)

        @app.get("/")
        def home():
            return {"version": 1}
    """,
}


def test_the_sqlmodel_tutorial_can_be_edited(tmp_path: Path) -> None:
    """Models, routers, database module and target are edited in turn: tables, relationships and rows go on working."""
    project = write_project(tmp_path / "heroes", HEROES)
    with Server(hotsession_run("app.main:app", "--no-access-log"), project) as server:
        team = server.post("/teams/", json={"name": "Preventers"}).raise_for_status().json()["id"]

        def add(name: str) -> dict[str, object]:
            hero = {"name": name, "secret_name": "?", "age": 20, "team_id": team}
            added: dict[str, object] = server.post("/heroes/", json=hero).raise_for_status().json()
            return added

        def mates() -> list[str]:
            found: list[str] = server.get("/heroes/1/team").raise_for_status().json()["mates"]
            return found

        add("Deadpond")
        edits = [
            ("app/models.py", "    id: int\n\n", "    id: int\n    title: str = 'hero'\n\n", "title", "hero"),
            ("app/models.py", "'hero'", "'super'", "title", "super"),
            ("app/routers/heroes.py", "    db_hero = Hero.", "    hero.age = 30\n    db_hero = Hero.", "age", 30),
            ("app/database.py", '"database.db"', '"./database.db"', "age", 30),
            ("app/main.py", '"version": 1', '"version": 2', "age", 30),
        ]
        for count, (file, old, new, field, value) in enumerate(edits):
            since = len(server.log)
            server.edit(file, old, new)
            server.wait_for_line(r"Reloaded app\.", since=since)
            assert add(f"Hero {count}")[field] == value
            assert mates() == sorted(["Deadpond", *(f"Hero {each}" for each in range(count + 1))])
        assert server.get("/").json() == {"version": 2}
        with contextlib.closing(sqlite3.connect(project / "database.db")) as database:
            assert database.execute("select count(*) from hero").fetchone() == (6,)
        assert "ERROR" not in server.log
        assert "Warning" not in server.log


def test_a_new_column_and_a_new_table_are_there_after_the_save(tmp_path: Path) -> None:
    """Columns and tables that an edit brings are in the metadata once: what the new lifespan creates is complete."""
    project = write_project(tmp_path / "heroes", HEROES)
    with Server(hotsession_run("app.main:app", "--no-access-log"), project) as server:
        columns = "    secret_name: str\n    team_id: int | None = Field(default=None, f"
        server.edit("app/models.py", columns, f"    power: str = 'none'\n{columns}")
        server.edit("app/database.py", '"database.db"', '"second.db"')
        wait_until(lambda: (project / "second.db").exists())
        server.write(
            "app/models.py",
            (project / "app/models.py").read_text()
            + "\nclass Villain(SQLModel, table=True):\n    id: int | None = Field(default=None, primary_key=True)\n",
        )

        def tables() -> dict[str, set[str]]:
            with contextlib.closing(sqlite3.connect(project / "second.db")) as database:
                names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
                return {name: {row[1] for row in database.execute(f"pragma table_info({name})")} for name in names}

        wait_until(lambda: "villain" in tables())
        assert "power" in tables()["hero"]
        assert server.post("/heroes/", json={"name": "A", "secret_name": "B"}).status_code == 200
