"""Models that are edited while their base class lives in a module that is not."""

from __future__ import annotations

import gc
import sys
import weakref
from contextvars import copy_context
from typing import Any

import pytest

from hotsession.reload.adapters import release_all
from tests.reload.adapters.conftest import Project
from tests.reload.adapters.models import DB, MODELS, STYLES, edited

OTHER = """
from sqlalchemy import Column, Integer
class Other(declarative_base()):
    __tablename__ = "other"
    id = Column(Integer, primary_key=True)
"""


@pytest.fixture(autouse=True)
def clean_sqlmodel() -> Any:
    """Leave nothing in the metadata that SQLModel shares."""
    from sqlmodel import SQLModel
    from sqlmodel.main import default_registry

    yield
    default_registry.dispose(cascade=True)
    SQLModel.metadata.clear()
    gc.collect()


@pytest.mark.parametrize("style", STYLES)
def test_edited_models_are_mapped_once(project: Project, style: str) -> None:
    """A model edited ten times is defined, found by name and queried as the newest one, relationships included."""
    app = project.start(db=DB[style], models=MODELS[style])
    app.db.Base.metadata.create_all(app.db.engine)
    for _ in range(10):
        new = project.reload(models=MODELS[style])
        with app.db.Local() as session:
            session.add(new.models.Hero(name="a", team=new.models.Team(name="x")))
            session.commit()
            hero = session.query(new.models.Hero).first()
            assert type(hero) is new.models.Hero
            assert type(hero.team) is new.models.Team
            assert hero.team.heroes[0] is hero
    assert app.db.Base.metadata.tables["hero"] is new.models.Hero.__table__
    assert set(app.db.Base.metadata.tables) == {"hero", "team"}


@pytest.mark.parametrize("style", STYLES)
def test_old_code_works_during_and_after_the_load(project: Project, style: str) -> None:
    """Old classes query, load lazily and flush while new ones are half defined, defined, and in place."""
    app = project.start(db=DB[style], models=MODELS[style])
    app.db.Base.metadata.create_all(app.db.engine)
    old_tables = dict(app.db.Base.metadata.tables)

    def work() -> None:
        with app.db.Local() as session:
            session.add(app.models.Hero(name="old", team=app.models.Team(name="old team")))
            session.commit()
            session.expire_all()
            hero = session.query(app.models.Hero).order_by(app.models.Hero.id.desc()).first()
            assert type(hero) is app.models.Hero
            assert type(hero.team) is app.models.Team
            assert type(hero.team.heroes[0]) is app.models.Hero

    context = copy_context()
    project.start(old="").old.work = lambda: context.copy().run(work)
    load = project.begin("models")
    new = load.run({"models": edited(style, power="", between="import old; old.work()")})
    work()
    assert dict(app.db.Base.metadata.tables) == old_tables
    with load.inside(), app.db.Local() as session:
        assert app.db.Base.metadata.tables["hero"] is new.models.Hero.__table__
        assert type(session.query(new.models.Hero).first().team) is new.models.Team
    work()
    load.commit()
    work()
    with app.db.Local() as session:
        assert type(session.query(new.models.Hero).first().team) is new.models.Team


@pytest.mark.parametrize("style", STYLES)
def test_new_lifespan_creates_new_columns_and_tables(project: Project, style: str) -> None:
    """`create_all` in the new lifespan sees the new tables only, and a removed one is gone at the commit."""
    from sqlalchemy import inspect

    app = project.start(db=DB[style], models=MODELS[style])
    load = project.begin("models")
    new = load.run({"models": edited(style, table="squad")})
    with load.inside():
        app.db.Base.metadata.create_all(app.db.engine)
    assert set(inspect(app.db.engine).get_table_names()) == {"hero", "squad"}
    assert "power" in {column["name"] for column in inspect(app.db.engine).get_columns("hero")}
    assert set(app.db.Base.metadata.tables) == {"hero", "team"}
    load.commit()
    assert set(app.db.Base.metadata.tables) == {"hero", "squad"}
    assert new.models.Hero.__table__.metadata is app.db.Base.metadata


@pytest.mark.parametrize("style", STYLES)
def test_failed_load_leaves_everything_as_it_was(project: Project, style: str) -> None:
    """After a load that fails half-way, metadata, class registry and mappers are the very same, and the fix loads."""
    from sqlalchemy.orm import configure_mappers

    app = project.start(db=DB[style], models=MODELS[style])
    metadata = app.db.Base.metadata
    metadata.create_all(app.db.engine)
    registry = app.models.Hero.__mapper__.registry
    before = (
        metadata.tables,
        dict(metadata.tables),
        registry._class_registry,
        dict(registry._class_registry),
        set(registry._managers),
    )
    load = project.begin("models")
    with pytest.raises(ZeroDivisionError) as failure:
        load.run({"models": edited(style, between="1 / 0")})
    load.rollback()
    assert metadata.tables is before[0]
    assert dict(metadata.tables) == before[1]
    assert registry._class_registry is before[2]
    assert dict(registry._class_registry) == before[3]
    assert set(registry._managers) == before[4]
    project.start(other="from sqlalchemy.orm import declarative_base\n" + OTHER)
    configure_mappers()  # though half of the new models is still alive, in the traceback
    assert failure.value.__traceback__
    with app.db.Local() as session:
        session.add(app.models.Hero(name="a", team=app.models.Team(name="x")))
        session.commit()
    new = project.reload(models=MODELS[style])
    with app.db.Local() as session:
        assert session.query(new.models.Hero).first().team.name == "x"


@pytest.mark.parametrize("style", STYLES)
def test_old_models_are_collected(project: Project, style: str) -> None:
    """A replaced model's class, mapper, table and module are gone, though a carried engine compiled their queries."""
    app = project.start(db=DB[style], models=MODELS[style])
    app.db.Base.metadata.create_all(app.db.engine)
    with app.db.Local() as session:
        session.add(app.models.Hero(name="a", team=app.models.Team(name="x")))
        session.commit()
        assert session.query(app.models.Hero).first().team.heroes
    hero = app.models.Hero
    watched = [weakref.ref(each) for each in (hero, hero.__mapper__, hero.__table__, app.models)]
    del hero, app.models
    project.reload(models=MODELS[style])
    gc.collect()
    assert [each() for each in watched] == [None] * 4


@pytest.mark.parametrize("style", STYLES)
def test_release_lets_go_of_what_code_in_flight_has_compiled(project: Project, style: str) -> None:
    """Old models that were queried after the commit, by a request in flight, are gone after the release."""
    app = project.start(db=DB[style], models=MODELS[style])
    app.db.Base.metadata.create_all(app.db.engine)
    project.reload(models=MODELS[style])
    with app.db.Local() as session:
        session.add(app.models.Hero(name="a", team=app.models.Team(name="x")))
        session.commit()
        assert session.query(app.models.Hero).first().team.heroes
    watched = weakref.ref(app.models.Hero)
    del app.models
    release_all()
    gc.collect()
    assert watched() is None


@pytest.mark.parametrize("style", STYLES)
def test_models_of_a_failed_first_load_do_not_stand_in_the_way(project: Project, style: str) -> None:
    """Models that were imported by code that then failed, when nobody had made room, are defined again by the fix."""
    app = project.start(db=DB[style], models=MODELS[style])
    left = app.models.Hero
    del app.models, sys.modules["models"]
    load = project.begin("main")
    new = load.run({"main": "", "models": edited(style)})
    load.commit()
    app.db.Base.metadata.create_all(app.db.engine)
    with app.db.Local() as session:
        session.add(new.models.Hero(power=1, team=new.models.Team()))
        session.commit()
        assert type(session.query(new.models.Team).one().heroes[0]) is new.models.Hero
    assert left.__table__ not in app.db.Base.metadata.tables.values()
