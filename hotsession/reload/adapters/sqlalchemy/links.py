"""Which mapped classes and tables there are, which module each belongs to, and which of them refer to each other.

It knows nothing of loads: it reads SQLAlchemy's mappers and metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper

from hotsession.reload.adapters.origins import Origins, is_left_over, own_values
from hotsession.reload.adapters.sqlalchemy.registries import all_registries, is_retired, mappers_of

logger = logging.getLogger("hotsession.sqlalchemy")


class Models:
    """The mapped classes and tables of the process, as they are now, with the modules they belong to."""

    def __init__(self) -> None:
        self.registries = [registry for registry in all_registries() if not is_retired(registry)]
        self.mappers = [mapper for registry in self.registries for mapper in mappers_of(registry)]
        self._module_of: dict[int, frozenset[str]] = {}
        self._homes: dict[int, set[str]] = {}
        for mapper in self.mappers:
            if isinstance(mapper.local_table, Table) and not mapper.single:
                self._module_of.setdefault(id(mapper.local_table), frozenset({mapper.class_.__module__}))
        self.tables = list(self._find_tables())
        self._origins = Origins(table for table in self.tables if id(table) not in self._module_of)

    def _find_tables(self) -> Iterator[Table]:
        found = {id(metadata): metadata for metadata in self._find_metadata()}
        tables = {id(table): table for metadata in found.values() for table in metadata.tables.values()}
        return iter(tables.values())

    def _find_metadata(self) -> Iterator[MetaData]:
        for registry in self.registries:
            yield registry.metadata
        for mapper in self.mappers:
            yield from (table.metadata for table in mapper.tables if isinstance(table, Table))
        for name, values in own_values():
            for value in values:
                if (metadata := _metadata_of(value)) is not None:
                    self._homes.setdefault(id(metadata), set()).add(_home(value, name))
                    yield metadata

    def is_metadata_replaced(self, metadata: MetaData, modules: frozenset[str]) -> bool:
        """Whether a whole metadata goes with `modules`: nobody else has it, or the base class that it is of."""
        homes = self._homes.get(id(metadata))
        return bool(homes) and homes <= modules  # type: ignore[operator]

    def modules(self, table: Any) -> frozenset[str]:
        """The module of a table, with those that may have imported it; empty if nobody knows."""
        return self._module_of.get(id(table)) or self._origins.modules(table)

    def is_replaced(self, table: Any, modules: frozenset[str]) -> bool:
        """Whether a table belongs to `modules`."""
        holders = self.modules(table)
        return bool(holders) and holders <= modules

    def with_left_over(self, modules: frozenset[str]) -> frozenset[str]:
        """`modules`, with those of mapped classes that a failed load left behind."""
        return modules | {name for mapper in self.mappers if is_left_over(name := mapper.class_.__module__)}

    def tables_of(self, modules: frozenset[str]) -> list[Table]:
        """The tables that belong to `modules`."""
        return [table for table in self.tables if self.is_replaced(table, modules)]

    def mappers_in(self, modules: frozenset[str]) -> list[Mapper[Any]]:
        """The mappers of classes that were defined in `modules`."""
        return [mapper for mapper in self.mappers if mapper.class_.__module__ in modules]

    def dependents(self, modules: frozenset[str]) -> frozenset[str]:
        """Modules with a class or table that refers to one of `modules`."""
        further: set[str] = set()
        for mapper in self.mappers:
            if mapper.class_.__module__ not in modules and self._is_linked(mapper, modules):
                further.add(mapper.class_.__module__)
        for table in self.tables:
            if not self.is_replaced(table, modules) and self._refers(table, modules):
                further |= self.modules(table)
        return frozenset(further - modules)

    def _is_linked(self, mapper: Mapper[Any], modules: frozenset[str]) -> bool:
        """Whether a mapper holds on to one of `modules` or is changed by it."""
        classes = [kin.class_ for kin in (*mapper.iterate_to_root(), *mapper.self_and_descendants)]
        # A cascade with delete-orphan marks its target; the mark of an old class makes every new object an orphan.
        classes += [owner for _, owner in mapper._delete_orphans]
        ends = [prop for prop in mapper._props.values() if mapper.configured and hasattr(prop, "secondary")]
        classes += [prop.entity.mapper.class_ for prop in ends]
        return any(each.__module__ in modules for each in classes) or any(
            self.is_replaced(prop.secondary, modules) for prop in ends if prop.secondary is not None
        )

    def _refers(self, table: Table, modules: frozenset[str]) -> bool:
        """Whether a foreign key of a table leads to one of `modules`."""
        for key in table.foreign_keys:
            try:
                if self.is_replaced(key.column.table, modules):
                    return True
            except SQLAlchemyError as error:
                logger.debug("%s leads to no table that is there: %s", key, error)
        return False


def _metadata_of(value: Any) -> MetaData | None:
    """The metadata that a value is, has as a base class, or belongs to as a table."""
    kind = type(value)
    found = value
    if issubclass(kind, Table):
        found = value.metadata
    elif issubclass(kind, type):
        found = value.__dict__.get("metadata")
    return found if issubclass(type(found), MetaData) else None


def _home(value: Any, name: str) -> str:
    """The module that a value found in module `name` is of: a class knows, unless SQLAlchemy made it."""
    if issubclass(type(value), type) and not value.__module__.startswith("sqlalchemy."):
        return str(value.__module__)
    return name
