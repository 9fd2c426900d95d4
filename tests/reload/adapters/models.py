"""A base class and two models that refer to each other, in each of the styles that SQLAlchemy and SQLModel offer."""

from __future__ import annotations

_ENGINE = """
        from sqlalchemy import create_engine
        from sqlalchemy.orm import sessionmaker
        from sqlalchemy.pool import StaticPool
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        Local = sessionmaker(engine)
"""
DB = {
    "declarative_base": """
        from sqlalchemy.orm import declarative_base
        Base = declarative_base()
    """,
    "DeclarativeBase": """
        from sqlalchemy.orm import DeclarativeBase
        class Base(DeclarativeBase):
            pass
    """,
    "MappedAsDataclass": """
        from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass
        class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
            pass
    """,
    "SQLModel": """
        from sqlmodel import SQLModel as Base
    """,
}
DB = {style: source + _ENGINE for style, source in DB.items()}

# {table} is the name of the table of teams, {power} a further column of heroes.
_MODELS = {
    "declarative_base": """
        from sqlalchemy import Column, ForeignKey, Integer, String
        from sqlalchemy.orm import relationship
        from db import Base
        class Team(Base):
            __tablename__ = "{table}"
            id = Column(Integer, primary_key=True)
            name = Column(String)
            heroes = relationship("Hero", back_populates="team")
        {between}
        class Hero(Base):
            __tablename__ = "hero"
            id = Column(Integer, primary_key=True)
            name = Column(String)
            team_id = Column(ForeignKey("{table}.id"))
            team = relationship("Team", back_populates="heroes")
            {power}
    """,
    "DeclarativeBase": """
        from sqlalchemy import ForeignKey
        from sqlalchemy.orm import Mapped, mapped_column, relationship
        from db import Base
        class Team(Base):
            __tablename__ = "{table}"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None]
            heroes: Mapped[list["Hero"]] = relationship(back_populates="team")
        {between}
        class Hero(Base):
            __tablename__ = "hero"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None]
            team_id: Mapped[int | None] = mapped_column(ForeignKey("{table}.id"))
            team: Mapped["Team | None"] = relationship(back_populates="heroes")
            {power}
    """,
    "MappedAsDataclass": """
        from sqlalchemy import ForeignKey
        from sqlalchemy.orm import Mapped, mapped_column, relationship
        from db import Base
        class Team(Base):
            __tablename__ = "{table}"
            id: Mapped[int | None] = mapped_column(primary_key=True, default=None)
            name: Mapped[str | None] = mapped_column(default=None)
            heroes: Mapped[list["Hero"]] = relationship(back_populates="team", default_factory=list, repr=False)
        {between}
        class Hero(Base):
            __tablename__ = "hero"
            id: Mapped[int | None] = mapped_column(primary_key=True, default=None)
            name: Mapped[str | None] = mapped_column(default=None)
            team_id: Mapped[int | None] = mapped_column(ForeignKey("{table}.id"), default=None)
            team: Mapped["Team | None"] = relationship(back_populates="heroes", default=None)
            {power}
    """,
    "SQLModel": """
        from sqlmodel import Field, Relationship, SQLModel
        class Team(SQLModel, table=True):
            __tablename__ = "{table}"
            id: int | None = Field(default=None, primary_key=True)
            name: str | None = None
            heroes: list["Hero"] = Relationship(back_populates="team")
        {between}
        class Hero(SQLModel, table=True):
            id: int | None = Field(default=None, primary_key=True)
            name: str | None = None
            team_id: int | None = Field(default=None, foreign_key="{table}.id")
            team: Team | None = Relationship(back_populates="heroes")
            {power}
    """,
}
_POWER = {
    "declarative_base": "power = Column(Integer)",
    "DeclarativeBase": "power: Mapped[int | None]",
    "MappedAsDataclass": "power: Mapped[int | None] = mapped_column(default=None)",
    "SQLModel": "power: int | None = None",
}
STYLES = tuple(DB)
MODELS = {style: source.format(table="team", power="", between="") for style, source in _MODELS.items()}


def edited(style: str, *, table: str = "team", between: str = "", power: str | None = None) -> str:
    """The models, edited.

    Args:
        style: one of `STYLES`.
        table: what the table of teams is called.
        between: a statement that runs when the first class is defined and the second is not.
        power: a further column of heroes; one called power when left out.
    """
    return _MODELS[style].format(table=table, power=_POWER[style] if power is None else power, between=between)
