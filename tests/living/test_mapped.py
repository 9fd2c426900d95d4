"""Objects that SQLAlchemy has mapped: detached ones follow, and can be used in a new session of the database."""

from __future__ import annotations

from typing import Any

import pytest

from tests.living.generations import BOTH_WAYS, Code, Held, follow

CODE = """
from contextlib import contextmanager
from sqlalchemy import ForeignKey, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

class Base(DeclarativeBase): pass

class Mixin:
    def f(self): return self.name

class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    cars: Mapped[list["Car"]] = relationship(lazy="selectin")

class Car(Base):
    __tablename__ = "car"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))

@contextmanager
def database():
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine, expire_on_commit=False) as session:
        yield session
    engine.dispose()

def owner():
    with database() as session:
        it = Owner(name="Ada", cars=[Car(), Car()])
        session.add(it)
        session.commit()
    return it
"""
EDITS = {
    "a method": ("    cars:", "    def f(self): return self.name\n    cars:"),
    "a mixin": ("class Owner(Base)", "class Owner(Mixin, Base)"),  # which makes other objects of them
}


@BOTH_WAYS
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_follows_can_be_changed_and_written(code: Code, edit: tuple[str, str], restart: bool) -> None:
    """It is merged and flushed as an object of the new mapping, and so is what is put in its collections."""
    held = Held(code, CODE, "shop.owner()", restart=restart)
    it = held.save(CODE.replace(*edit))
    assert (type(it), it.f(), len(it.cars)) == (held.shop.Owner, "Ada", 2)
    assert {type(car) for car in it.cars} == {held.shop.Car}
    with held.shop.database() as session:
        assert len(session.merge(it).cars) == 2
        session.rollback()
        session.execute(held.shop.text("insert into owner values (1, 'Ada')"))
        session.execute(held.shop.text("insert into car values (1, 1), (2, 1)"))
        session.commit()
        it.name = "Bob"
        it.cars.append(held.shop.Car())
        session.add(it)
        session.commit()
        found: Any = session.execute(held.shop.text("select owner_id, name from car join owner on owner_id = owner.id"))
        assert [tuple(row) for row in found] == [(1, "Bob")] * 3


def test_one_that_is_mapped_no_more_stays_as_it_was(code: Code) -> None:
    """It is of the old class, and whole."""
    held = Held(code, CODE, "shop.owner()", restart=False)
    old = held.it
    code.save("class Owner:\n    pass\n")
    assert follow(held.session).left
    assert held.it is old
    assert (old.name, len(old.cars)) == ("Ada", 2)
