"""The sources of the heavy project: an API over pandas, SciPy, SQLAlchemy and 50 pydantic models.

The models come in pairs, what is sent and what is answered, and each pair has one endpoint (or two, on demand): the
time that FastAPI takes to build its routes is most of what a reload of this project costs, so their number matters.
"""

from __future__ import annotations

GROUPS = 5
PAIRS_PER_GROUP = 5

MAIN = '''\
"""The app of the heavy benchmark project."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

import tables
{imports}
from services import marker

app = FastAPI()
{includes}


@app.get("/marker")
async def show() -> PlainTextResponse:
    return PlainTextResponse(marker())


@app.get("/tables")
async def show_tables() -> list[str]:
    return sorted(tables.Base.metadata.tables)
'''

SERVICES = '''\
"""What the routes call: figures from pandas and SciPy. This file is edited."""

import pandas as pd
from scipy import optimize, stats


def marker():
    return "@MARKER@"


def summarise(values):
    frame = pd.DataFrame({"value": values})
    return {"mean": float(frame["value"].mean()), "error": float(stats.sem(frame["value"]))}


def best_price(demand):
    return float(optimize.minimize_scalar(lambda price: -price * (demand - price)).x)
'''

TABLES = '''\
"""What the database holds."""

from sqlalchemy import ForeignKey, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

engine = create_engine("sqlite://")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    orders: Mapped[list["Order"]] = relationship(back_populates="user")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[float]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    user: Mapped[User] = relationship(back_populates="orders")


class Product(Base):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    price: Mapped[float]
'''

MODELS_HEAD = '''\
"""Pydantic models, group {group}."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field
'''

MODEL = """

class Item{number}In(BaseModel):
    title: str = Field(min_length=1, max_length=80)
    status: Literal["new", "open", "done"] = "new"
    amount: float = Field(default=0.0, ge=0)
    tags: list[str] = []


class Item{number}Out(BaseModel):
    id: int
    title: str = Field(min_length=1, max_length=80)
    status: Literal["new", "open", "done"] = "new"
    price: float
    tags: list[str] = []
    created_at: datetime | None = None
"""

ROUTES_HEAD = '''\
"""Routes, group {group}."""

from fastapi import APIRouter

from models.group{group} import {names}
from services import best_price

router = APIRouter(prefix="/group{group}")
'''

ROUTE = """

@router.post("/item{number}")
async def create_item{number}(item: Item{number}In, limit: int = 10) -> Item{number}Out:
    return Item{number}Out(id=limit, price=best_price(limit), **item.model_dump(exclude={{"amount"}}))
"""

SECOND_ROUTE = """

@router.put("/item{number}/{{item_id}}")
async def change_item{number}(item_id: int, item: Item{number}In) -> Item{number}Out:
    return Item{number}Out(id=item_id, price=best_price(item_id), **item.model_dump(exclude={{"amount"}}))
"""


def files(route: str = ROUTE) -> dict[str, str]:
    """The files of the project: path below its root to text.

    Args:
        route: The source of what each pair of models gets.
    """
    groups = range(GROUPS)
    numbers = {group: range(group * PAIRS_PER_GROUP, (group + 1) * PAIRS_PER_GROUP) for group in groups}
    made = {"services.py": SERVICES, "tables.py": TABLES, "models/__init__.py": "", "routes/__init__.py": ""}
    for group in groups:
        models = "".join(MODEL.format(number=number) for number in numbers[group])
        made[f"models/group{group}.py"] = MODELS_HEAD.format(group=group) + models
        names = ", ".join(f"Item{number}In, Item{number}Out" for number in numbers[group])
        routes = "".join(route.format(number=number) for number in numbers[group])
        made[f"routes/group{group}.py"] = ROUTES_HEAD.format(group=group, names=names) + routes
    imports = "\n".join(f"from routes import group{group}" for group in groups)
    includes = "\n".join(f"app.include_router(group{group}.router)" for group in groups)
    made["main.py"] = MAIN.format(imports=imports, includes=includes)
    return made
