"""Models and tables in several modules: what is replaced together, and what carried ones have to do with new ones."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, event, exc
from sqlalchemy.event import registry as events

from tests.reload.adapters.conftest import Project
from tests.reload.adapters.models import DB

BASE = DB["DeclarativeBase"]
HEAD = """
    from sqlalchemy import Column, ForeignKey, Integer, String, Table, event
    from sqlalchemy.orm import Mapped, Session, backref, mapped_column, relationship
    from db import Base, engine, Local
"""
TEAM = (
    HEAD
    + """
    class Team(Base):
        __tablename__ = "team"
        id: Mapped[int] = mapped_column(primary_key=True)
"""
)
# Heroes refer to teams by name only, so that no import links the modules.
HERO = (
    HEAD
    + """
    class Hero(Base):
        __tablename__ = "hero"
        id: Mapped[int] = mapped_column(primary_key=True)
        team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
        team: Mapped["Team"] = relationship("Team")
"""
)
HERO_WITH_BACKREF = HERO.replace('relationship("Team")', 'relationship("Team", backref="heroes")')
LONELY_HERO = (
    HEAD
    + """
    class Hero(Base):
        __tablename__ = "hero"
        id: Mapped[int] = mapped_column(primary_key=True)
"""
)


def test_model_that_refers_to_a_replaced_one_is_replaced_with_it(project: Project) -> None:
    """A relationship or foreign key pulls its own module along, and not the one that it leads to."""
    project.start(db=BASE, team=TEAM, hero=HERO, other=LONELY_HERO.replace("hero", "other").replace("Hero", "Other"))
    assert project.plan("team") == {"team", "hero"}
    assert project.plan("hero") == {"hero"}
    assert project.plan("other") == {"other"}


def test_model_with_a_back_reference_is_replaced_with_its_origin(project: Project) -> None:
    """A model that was given a relationship by another one's backref is replaced with that one."""
    project.start(db=BASE, team=TEAM, hero=HERO_WITH_BACKREF)
    assert project.plan("hero") == {"hero", "team"}


SOURCES = {
    "links": HEAD
    + """
    links = Table("links", Base.metadata,
                  Column("hero_id", ForeignKey("hero.id"), primary_key=True),
                  Column("team_id", ForeignKey("team.id"), primary_key=True))
    """,
    "team": TEAM,
    "hero": LONELY_HERO
    + '        teams: Mapped[list["Team"]] = relationship("Team", secondary="links", backref="heroes")\n',
}


def test_replaced_models_pull_nothing_along(project: Project) -> None:
    """A relationship that an edit has removed counts no more, though requests in flight still use the old class."""
    app = project.start(db=BASE, team=TEAM, hero=HERO)
    project.reload(hero=LONELY_HERO)
    assert app.hero.Hero.__mapper__.relationships.keys() == ["team"]
    assert project.plan("team") == {"team"}


def test_model_that_is_marked_by_a_replaced_one_is_replaced_with_it(project: Project) -> None:
    """A cascade with delete-orphan marks its target with its own class, so both are replaced."""
    cascade = 'relationship("Team", cascade="all, delete-orphan", single_parent=True)'
    project.start(db=BASE, team=TEAM, hero=HERO.replace('relationship("Team")', cascade))
    assert project.plan("hero") == {"hero", "team"}


def test_association_table_of_a_third_module_is_replaced_with_either_end(project: Project) -> None:
    """A bare table between two models, in a module of its own, is replaced with either of them, and they with it."""
    app = project.start(db=BASE, **SOURCES)
    assert project.plan("team") == project.plan("hero") == project.plan("links") == {"hero", "links", "team"}
    for _ in range(3):
        new = project.reload(**SOURCES)
        app.db.Base.metadata.create_all(app.db.engine)
        with app.db.Local() as session:
            session.add(new.hero.Hero(teams=[new.team.Team()]))
            session.commit()
            assert session.query(new.team.Team).first().heroes[0].teams
    assert app.db.Base.metadata.tables["links"] is new.links.links


def test_new_relationship_to_a_carried_model(project: Project) -> None:
    """An edit that adds a relationship with a backref to a carried model works, and works when it is edited again."""
    app = project.start(db=BASE, team=TEAM, hero=LONELY_HERO)
    new = project.reload(hero=HERO_WITH_BACKREF)
    app.db.Base.metadata.create_all(app.db.engine)
    for team in (app.team, project.reload(hero=HERO_WITH_BACKREF, team=TEAM).team):
        hero = new.hero if team is app.team else __import__("hero")
        with app.db.Local() as session:
            session.add(hero.Hero(team=team.Team()))
            session.commit()
            assert isinstance(session.query(team.Team).first().heroes[0], hero.Hero)


def test_failed_load_takes_its_back_reference_from_a_carried_model(project: Project) -> None:
    """A backref that a failed load put into a carried model is gone from its mapper and class."""
    app = project.start(db=BASE, team=TEAM, hero=LONELY_HERO)
    before = set(vars(app.team.Team))
    load = project.begin("hero")
    new = load.run({"hero": HERO_WITH_BACKREF})
    with load.inside():
        new.hero.Hero.__mapper__._check_configure()
    assert "heroes" in app.team.Team.__mapper__.relationships
    load.rollback()
    assert "heroes" not in app.team.Team.__mapper__.relationships
    assert set(vars(app.team.Team)) == before
    app.db.Base.metadata.create_all(app.db.engine)
    with app.db.Local() as session:
        session.add(app.team.Team())
        session.commit()
        assert session.query(app.team.Team).count() == 1


PERSON = (
    HEAD
    + """
    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}
"""
)
ENGINEER = {
    "joined": HEAD
    + """
    from person import Person
    class Engineer(Person):
        __tablename__ = "engineer"
        id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
        language: Mapped[str | None]
        __mapper_args__ = {"polymorphic_identity": "engineer"}
    """,
    "single": HEAD
    + """
    from person import Person
    class Engineer(Person):
        language: Mapped[str | None] = mapped_column(nullable=True)
        __mapper_args__ = {"polymorphic_identity": "engineer"}
    """,
}


@pytest.mark.parametrize("kind", ENGINEER)
def test_inheritance_over_two_modules(project: Project, kind: str) -> None:
    """Parent and child are replaced together; a query for the parent gives each code its own children."""
    app = project.start(db=BASE, person=PERSON, engineer=ENGINEER[kind])
    app.db.Base.metadata.create_all(app.db.engine)
    assert project.plan("engineer") == project.plan("person") == {"person", "engineer"}
    new = project.reload(person=PERSON, engineer=ENGINEER[kind])
    with app.db.Local() as session:
        session.add(new.engineer.Engineer(language="a"))
        session.commit()
    for each in (app, new):
        with app.db.Local() as session:
            assert type(session.query(each.person.Person).one()) is each.engineer.Engineer


@pytest.mark.parametrize("kind", ENGINEER)
def test_failed_load_takes_its_subclass_from_a_carried_parent(project: Project, kind: str) -> None:
    """A subclass that a failed load gave to a carried parent is gone from its identities and its table's columns."""
    app = project.start(db=BASE, person=PERSON, engineer="")
    load = project.begin("engineer")
    load.run({"engineer": ENGINEER[kind]})
    load.rollback()
    mapper = app.person.Person.__mapper__
    assert set(mapper.polymorphic_map) == {"person"}
    assert list(mapper.self_and_descendants) == [mapper]
    assert app.person.Person.__table__.columns.keys() == ["id", "kind"]
    app.db.Base.metadata.create_all(app.db.engine)
    with app.db.Local() as session:
        session.add(app.person.Person())
        session.commit()
        assert session.query(app.person.Person).count() == 1


LISTENERS = (
    HEAD
    + """
    from log import seen
    from team import Team
    @event.listens_for(Team, "before_insert")
    def on_team(mapper, connection, target): seen.append("team {0}")
    @event.listens_for(Base, "before_insert", propagate=True)
    def on_base(mapper, connection, target): seen.append("base {0}")
    @event.listens_for(Session, "before_flush")
    def on_flush(*args): seen.append("flush {0}")
    @event.listens_for(Local, "after_flush")
    def on_local(*args): seen.append("local {0}")
    @event.listens_for(engine, "before_cursor_execute")
    def on_cursor(conn, cursor, statement, *rest): seen.append("cursor {0}") if "INSERT" in statement else None
    @event.listens_for(Team.id, "set")
    def on_set(*args): seen.append("set {0}")
"""
)
KINDS = ("team", "base", "flush", "local", "cursor", "set")


@pytest.fixture
def listened(project: Project) -> Iterator[Any]:
    """A project whose module ``listeners`` listens to what other modules hold."""
    app = project.start(db=BASE, log="seen = []", team=TEAM, listeners=LISTENERS.format(1))
    app.db.Base.metadata.create_all(app.db.engine)
    yield app
    project.reload(listeners="")


def heard(app: Any, number: int = 1) -> list[str]:
    """What the listeners say to a new team."""
    app.log.seen.clear()
    with app.db.Local() as session:
        session.add(app.team.Team(id=number))
        session.flush()
    return sorted(app.log.seen)


def test_listeners_of_a_replaced_module_are_called_once(project: Project, listened: Any) -> None:
    """Listeners on carried models, base classes, engines and `Session` are exchanged, not doubled."""
    assert heard(listened) == sorted(f"{kind} 1" for kind in KINDS)
    watched = weakref.ref(listened.listeners.on_base)
    del listened.listeners
    project.reload(listeners=LISTENERS.format(2))
    assert heard(listened) == sorted(f"{kind} 2" for kind in KINDS)
    gc.collect()
    assert watched() is None


def test_listeners_of_a_failed_load_are_removed(project: Project, listened: Any) -> None:
    """Listeners that a failed load added are not called, and the old ones still are."""
    load = project.begin("listeners")
    with pytest.raises(ZeroDivisionError):
        load.run({"listeners": LISTENERS.format(2) + "\n    1 / 0"})
    load.rollback()
    assert heard(listened) == sorted(f"{kind} 1" for kind in KINDS)


def test_listener_on_a_target_of_its_own_module_stays_with_it(project: Project) -> None:
    """Old code in flight goes on to be listened to by its own listeners."""
    source = (
        TEAM
        + """
    from log import seen
    @event.listens_for(Team, "before_insert")
    def on_team(mapper, connection, target): seen.append("team {0}")
    """
    )
    app = project.start(db=BASE, log="seen = []", team=source.format(1))
    app.db.Base.metadata.create_all(app.db.engine)
    new = project.reload(team=source.format(2))
    with app.db.Local() as session:
        session.add(app.team.Team(id=1))
        session.commit()
        session.add(new.team.Team(id=2))
        session.commit()
    assert app.log.seen == ["team 1", "team 2"]


LOOSE = """Table("t", Base.metadata, Column("id", Integer, primary_key=True), Column("other", ForeignKey("s.id")))
    Table("s", Base.metadata, Column("id", Integer, primary_key=True))"""


@pytest.mark.parametrize(
    "source",
    [
        'table = Table("t", Base.metadata, Column("id", Integer, primary_key=True))',
        'class Tables:\n        t = Table("t", Base.metadata, Column("id", Integer, primary_key=True))',
        'tables = [Table("t", Base.metadata, Column("id", Integer, primary_key=True))]',
        LOOSE,
    ],
    ids=["attribute", "class", "list", "nowhere"],
)
def test_bare_tables_are_defined_again(project: Project, source: str) -> None:
    """A table without a model can be defined again wherever it stands, and is gone when a later edit removes it."""
    app = project.start(db=BASE, tables=HEAD + "    " + source)
    first = app.db.Base.metadata.tables["t"]
    for _ in range(2):
        project.reload(tables=HEAD + "    " + source)
    assert app.db.Base.metadata.tables["t"] is not first
    project.reload(tables="")
    assert dict(app.db.Base.metadata.tables) == {}


def test_table_that_old_code_adds_during_the_load_stays(project: Project) -> None:
    """What a request reflects or defines while new code is imported is in the metadata after the commit."""
    app = project.start(db=BASE, team=TEAM)
    load = project.begin("team")
    new = load.run({"team": TEAM})
    late = Table("late", app.db.Base.metadata)
    load.commit()
    assert dict(app.db.Base.metadata.tables) == {"team": new.team.Team.__table__, "late": late}


@pytest.mark.parametrize("metadata", ["", ", metadata=Base.metadata"])
def test_types_and_sequences_of_a_replaced_model_go_with_it(project: Project, metadata: str) -> None:
    """An enumeration, which registers itself with the metadata, is collected; a sequence is the new one."""
    source = (
        HEAD
        + f"""
    import enum
    from sqlalchemy import Enum, Sequence
    class Color(enum.Enum):
        red = 1
    class Team(Base):
        __tablename__ = "team"
        id = Column(Integer, Sequence("ids", metadata=Base.metadata), primary_key=True)
        color = Column(Enum(Color{metadata}))
    """
    )
    app = project.start(db=BASE, team=source)
    watched = weakref.ref(app.team.Color)
    del app.team
    new = project.reload(team=source)
    gc.collect()
    assert watched() is None
    assert app.db.Base.metadata._sequences["ids"] is new.team.Team.__table__.c.id.default
    project.reload(team="")
    assert app.db.Base.metadata._sequences == {}


def test_table_of_a_carried_module_is_still_taken(project: Project) -> None:
    """A table of a module that stays can't be defined by another one, in a load as anywhere; it can be imported."""
    source = 'table = Table("t", Base.metadata, Column("id", Integer, primary_key=True))'
    app = project.start(db=BASE, tables=HEAD + "    " + source, views="from tables import table")
    project.reload(views="from tables import table")
    assert app.db.Base.metadata.tables["t"] is app.tables.table
    load = project.begin("views")
    with pytest.raises(exc.InvalidRequestError, match="already defined"):
        load.run({"views": HEAD + "    " + source})
    load.rollback()


def test_reflected_tables_are_carried_over(project: Project) -> None:
    """Tables that nobody defined, because they were reflected, stay in the metadata and are seen by new code."""
    app = project.start(db=BASE, views="")
    with app.db.engine.begin() as connection:
        connection.exec_driver_sql("create table found (id integer primary key)")
    app.db.Base.metadata.reflect(app.db.engine)
    new = project.reload(views="from db import Base\nfound = Base.metadata.tables['found']")
    assert app.db.Base.metadata.tables["found"] is new.views.found


def test_shared_class_registry_of_two_bases(project: Project) -> None:
    """Two bases that share a dict of class names resolve to the newest classes, in that very dict."""
    db = """
        from sqlalchemy.orm import declarative_base
        names = {}
        One = declarative_base(class_registry=names)
        Two = declarative_base(class_registry=names, metadata=One.metadata)
    """
    models = """
        from sqlalchemy import Column, ForeignKey, Integer
        from sqlalchemy.orm import relationship
        from db import One, Two
        class Team(One):
            __tablename__ = "team"
            id = Column(Integer, primary_key=True)
        class Hero(Two):
            __tablename__ = "hero"
            id = Column(Integer, primary_key=True)
            team_id = Column(ForeignKey("team.id"))
            team = relationship("Team")
    """
    app = project.start(db=db, models=models)
    watched = weakref.ref(app.models.Team)
    del app.models
    for _ in range(2):
        new = project.reload(models=models)
        assert new.models.Hero.__mapper__.relationships["team"].mapper.class_ is new.models.Team
    assert app.db.names["Team"] is new.models.Team
    gc.collect()
    assert watched() is None


def test_imperative_mapping(project: Project) -> None:
    """Classes mapped by `registry.mapped`, `mapped_as_dataclass` and `map_imperatively` are mapped again."""
    models = """
        from sqlalchemy import Column, Integer, Table
        from sqlalchemy.orm import Mapped, mapped_column
        from db import mapping
        @mapping.mapped
        class One:
            __tablename__ = "one"
            id = Column(Integer, primary_key=True)
        @mapping.mapped_as_dataclass
        class Two:
            __tablename__ = "two"
            id: Mapped[int] = mapped_column(primary_key=True)
        class Three: pass
        mapping.map_imperatively(Three, Table("three", mapping.metadata, Column("id", Integer, primary_key=True)))
    """
    app = project.start(db="from sqlalchemy.orm import registry\nmapping = registry()", models=models)
    for _ in range(2):
        new = project.reload(models=models)
    assert {mapper.class_ for mapper in app.db.mapping.mappers} == {new.models.One, new.models.Two, new.models.Three}
    assert set(app.db.mapping.metadata.tables) == {"one", "two", "three"}


def test_base_is_replaced_as_well(project: Project) -> None:
    """When the base class is replaced with its models, old and new have nothing in common, and old work on."""
    app = project.start(db=BASE, team=TEAM, hero=HERO_WITH_BACKREF)
    new = project.reload(db=BASE, team=TEAM, hero=HERO_WITH_BACKREF)
    for each in (app, new):
        each.db.Base.metadata.create_all(each.db.engine)
        with each.db.Local() as session:
            session.add(each.hero.Hero(team=each.team.Team()))
            session.commit()
            assert type(session.query(each.team.Team).one().heroes[0]) is each.hero.Hero


def test_models_that_could_not_be_configured_are_cured_by_an_edit(project: Project) -> None:
    """A relationship to a class that is not there breaks requests until the edit that corrects it."""
    app = project.start(db=BASE, team=TEAM, hero=HERO.replace('"Team"', '"Taem"'))
    with pytest.raises(exc.InvalidRequestError):
        app.hero.Hero()
    new = project.reload(hero=HERO)
    assert new.hero.Hero(team=app.team.Team()).team


def test_in_a_real_file(project: Project, tmp_path: Path) -> None:
    """Rows written by old models in a database file are read and changed by new ones."""
    db = BASE.replace('"sqlite://", poolclass=StaticPool', f'"sqlite:///{tmp_path}/x.db"')
    app = project.start(db=db, team=TEAM)
    app.db.Base.metadata.create_all(app.db.engine)
    with app.db.Local() as session:
        session.add(app.team.Team(id=1))
        session.commit()
    new = project.reload(team=TEAM)
    with app.db.Local() as session:
        session.get_one(new.team.Team, 1).id = 2
        session.commit()
    with app.db.Local() as session:
        assert session.get(app.team.Team, 2) is not None
    app.db.engine.dispose()


def test_internals_are_as_the_adapter_expects() -> None:
    """SQLAlchemy still has the attributes and functions that the adapter looks through."""
    from sqlalchemy import MetaData
    from sqlalchemy.orm import clsregistry, mapperlib, registry
    from sqlalchemy.orm.events import _EventsHold

    assert {"tables", "_schemas", "_sequences", "_fk_memos"} <= vars(MetaData()).keys()
    names = {"_class_registry", "_managers", "_new_mappers", "_dependencies", "_dependents", "metadata", "constructor"}
    assert names <= vars(registry()).keys()
    assert isinstance(vars(Table)["_new"], classmethod)
    assert callable(registry._add_manager)
    assert callable(mapperlib._all_registries)
    assert callable(getattr(clsregistry, "_add_class", getattr(clsregistry, "add_class", None)))
    assert callable(clsregistry._MultipleClassMarker.__iter__)
    assert callable(_EventsHold.populate)
    target = registry()
    event.listen(MetaData, "before_parent_attach", print)
    key = (id(MetaData), "before_parent_attach", id(print))
    collections = events._key_to_collection[key]
    assert all(print in {listener() for listener in collections.values()} for _ in (1,))
    event.remove(MetaData, "before_parent_attach", print)
    assert key not in events._key_to_collection
    target.dispose()
