"""What a load may change in mapped classes that are carried over, and how to undo it.

A new class with a back reference puts a relationship into the class it refers to; a new subclass enters the
polymorphic map of its parent and, without a table of its own, adds columns to its parent's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, util
from sqlalchemy.orm import Mapper


@dataclass(frozen=True, slots=True)
class _Before:
    mapper: Mapper[Any]
    props: frozenset[str]
    identities: dict[Any, Mapper[Any]]
    heirs: list[Mapper[Any]]
    orphans: list[Any]
    processors: list[Any]
    columns: tuple[Column[Any], ...]


class Carried:
    """The mappers that are carried over, as they were before the load.

    Args:
        mappers: all of them.
    """

    def __init__(self, mappers: Iterable[Mapper[Any]]) -> None:
        self._before = [
            _Before(
                mapper,
                frozenset(mapper._props),
                dict(mapper.polymorphic_map),
                list(mapper._inheriting_mappers),
                list(mapper._delete_orphans),
                list(mapper._dependency_processors),
                tuple(mapper.local_table.columns),  # type: ignore[arg-type]
            )
            for mapper in mappers
        ]

    def restore(self) -> None:
        """Take out what has come in since."""
        for before in self._before:
            _restore(before)


def _restore(before: _Before) -> None:
    mapper = before.mapper
    for key in [key for key in mapper._props if key not in before.props]:
        del mapper._props[key]
        _uninstrument(mapper, key)
    if mapper.polymorphic_map != before.identities:
        mapper.polymorphic_map.clear()
        mapper.polymorphic_map.update(before.identities)
    mapper._inheriting_mappers = util.WeakSequence(before.heirs)
    mapper._delete_orphans[:] = before.orphans
    mapper._dependency_processors[:] = before.processors
    if isinstance(mapper.local_table, Table):
        known = set(map(id, before.columns))
        for column in [each for each in mapper.local_table.columns if id(each) not in known]:
            _remove(mapper.local_table, column)
    mapper._expire_memoizations()


def _uninstrument(mapper: Mapper[Any], key: str) -> None:
    """Take an attribute from a mapped class, as neither `delattr` nor the manager does on a declarative one."""
    manager = mapper.class_manager
    if key in manager:
        manager.local_attrs.pop(key, None)
        if key in mapper.class_.__dict__:
            type.__delattr__(mapper.class_, key)
        del manager[key]
        manager._reset_memoizations()


def _remove(table: Table, column: Column[Any]) -> None:
    table._columns.remove(column)
    table.foreign_keys.difference_update(column.foreign_keys)
    for owned in (table.constraints, table.indexes):
        for each in list(owned):
            if column.name in getattr(each, "columns", ()):
                owned.discard(each)
