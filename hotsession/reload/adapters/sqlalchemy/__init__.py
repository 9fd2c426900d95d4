"""SQLAlchemy and SQLModel: models are defined again while the registry and the metadata they go into are carried over.

While a load is under way its code sees metadata without the tables, and registries without the classes, that it
replaces; old code sees them as they were. New classes are mapped in registries of their own, so that nothing old code
asks for resolves, or fails on, a half-loaded model. The commit moves them into the real ones; the old classes go
to a registry of theirs, where they work for the requests in flight and are collected afterwards. The rules on what
must be replaced together (links.py) keep old and new classes from being linked to each other.

Internals this leans on, each pinned by a test: the instance attributes of `MetaData` and `registry` named below,
`registry._add_manager`, `clsregistry._add_class`, `Table._new`, and the tables of `sqlalchemy.event.registry`.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import MetaData, Table, util
from sqlalchemy.orm import registry as MapperRegistry  # noqa: N812  (ours is called registry as well)

from hotsession.reload.adapters.origins import note_origin
from hotsession.reload.adapters.overlay import Overlay
from hotsession.reload.adapters.sqlalchemy.carried import Carried
from hotsession.reload.adapters.sqlalchemy.engines import Engines
from hotsession.reload.adapters.sqlalchemy.links import Models
from hotsession.reload.adapters.sqlalchemy.listeners import Listeners
from hotsession.reload.adapters.sqlalchemy.registries import (
    add_class,
    all_registries,
    classes_of,
    configure,
    mappers_of,
    merge,
    move,
    retired_registry,
    share,
    unlink,
)

# What metadata knows; the last is new in SQLAlchemy 2.1.
_METADATA_VIEWS = ("tables", "_schemas", "_sequences", "_fk_memos", "_objects")
_LIBRARIES = frozenset({"sqlalchemy", "sqlmodel", "pydantic"})


class SQLAlchemyAdapter:
    """Takes mapped classes, tables and event listeners through a reload."""

    library = "sqlalchemy"

    def __init__(self) -> None:
        self._engines = Engines()

    def dependents(self, modules: frozenset[str]) -> frozenset[str]:
        """Modules with a model or table that refers to one of `modules`: relationship, foreign key, inheritance."""
        configure(all_registries())
        return Models().dependents(modules)

    def begin(self, modules: frozenset[str]) -> ModelSuspension:
        """Let the models of `modules` be defined again."""
        configure(all_registries())
        models = Models()
        self._engines.look()
        return ModelSuspension(models.with_left_over(modules), models, self._engines)

    def release(self) -> None:
        """Drop the compiled statements that the engines of carried modules hold."""
        self._engines.clear()


class ModelSuspension:
    """One load as SQLAlchemy sees it.

    Args:
        modules: what is replaced.
        models: all there is before the load.
        engines: those that may have compiled statements about them.
    """

    def __init__(self, modules: frozenset[str], models: Models, engines: Engines) -> None:
        self._modules = modules
        self._engines = engines
        self._old_tables = {id(table): table for table in models.tables_of(modules)}
        self._emptied = [
            metadata
            for metadata in {id(table.metadata): table.metadata for table in self._old_tables.values()}.values()
            if not models.is_metadata_replaced(metadata, modules)
        ]
        self._loose = {id(table) for table in models.tables if not models.modules(table)}
        self._carried = Carried(mapper for mapper in models.mappers if mapper.class_.__module__ not in modules)
        self._known = set(all_registries())
        self._registries = models.registries
        self._staged: dict[MapperRegistry, MapperRegistry] = {}
        self._names: dict[int, tuple[Any, Any]] = {}
        self._types = {id(kind): kind for table in self._old_tables.values() for kind in _types_of(table)}
        self._listeners = Listeners(modules, models.mappers_in(modules), self._types.values())
        self._overlay = Overlay()
        try:
            self._put_up()
        except BaseException:
            self._overlay.discard()
            raise

    def _put_up(self) -> None:
        stages: tuple[Callable[[MetaData, Any], Any], ...] = (
            self._stage_tables,
            lambda metadata, schemas: {table.schema for table in metadata.tables.values() if table.schema},
            self._stage_sequences,
            self._stage_foreign_keys,
            self._stage_types,
        )
        present = vars(MetaData())
        for name, stage in zip(_METADATA_VIEWS, stages, strict=True):
            if name in present:
                self._overlay.attribute(MetaData, name, stage)
        self._overlay.attribute(MapperRegistry, "_class_registry", self._stage_names)
        self._overlay.function(MapperRegistry, "_add_manager", self._add_manager)
        self._overlay.function(Table, "_new", self._new_table)
        self._listeners.watch(self._overlay)

    # what code of the load sees

    def _stage_tables(self, metadata: MetaData, tables: Any) -> Any:
        return util.FacadeDict({key: table for key, table in dict(tables).items() if id(table) not in self._old_tables})

    def _stage_foreign_keys(self, metadata: MetaData, memos: Any) -> Any:
        staged = defaultdict(list)
        for target, keys in dict(memos).items():
            kept = [key for key in keys if id(getattr(key.parent, "table", None)) not in self._old_tables]
            if kept:
                staged[target] = kept
        return staged

    def _stage_sequences(self, metadata: MetaData, sequences: Any) -> Any:
        return {key: each for key, each in dict(sequences).items() if not self._is_of_old_column(each)}

    def _is_of_old_column(self, sequence: Any) -> bool:
        return id(getattr(getattr(sequence, "column", None), "table", None)) in self._old_tables

    def _stage_types(self, metadata: MetaData, types: Any) -> Any:
        return {each for each in set(types) if id(each) not in self._types and not self._is_of_old_column(each)}

    def _stage_names(self, registry: MapperRegistry, names: Any) -> Any:
        """The names of carried classes; one set for all registries that share theirs."""
        if id(names) not in self._names:
            staged: Any = weakref.WeakValueDictionary() if isinstance(names, weakref.WeakValueDictionary) else {}
            for name, found in list(names.items()):
                for kind in classes_of(found):
                    if kind.__module__ not in self._modules:
                        add_class(name, kind, staged)
            self._names[id(names)] = (names, staged)
        return self._names[id(names)][1]

    def _stage_registry(self, registry: MapperRegistry) -> MapperRegistry:
        """The registry that new classes are mapped in until the commit."""
        if registry not in self._staged:
            staged = MapperRegistry(
                metadata=registry.metadata,
                class_registry=self._overlay.see(registry, "_class_registry", self._stage_names),
                constructor=registry.constructor,
            )
            self._overlay.adopt(staged)
            self._staged[registry] = staged
        return self._staged[registry]

    def _add_manager(self, original: Callable[..., None]) -> Callable[..., None]:
        def add(registry: MapperRegistry, manager: Any) -> None:
            original(registry if self._overlay.is_born(registry) else self._stage_registry(registry), manager)

        return add

    def _new_table(self, original: Callable[..., Table]) -> Callable[..., Table]:
        def new(cls: type[Table], *args: Any, **options: Any) -> Table:
            self._make_room(args, options)
            table = original(cls, *args, **options)
            note_origin(table, self._modules, _LIBRARIES)
            return table

        return new

    def _make_room(self, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Let a table that nobody knows the module of be defined again: it is the old one that it replaces."""
        if len(args) < 3 or options.get("keep_existing") or options.get("extend_existing"):
            return
        metadata, schema = args[1], options.get("schema", args[1].schema)
        key = f"{schema}.{args[0]}" if isinstance(schema, str) else args[0]
        if id(found := metadata.tables.get(key)) in self._loose:
            metadata._remove_table(found.name, found.schema)
            self._loose.discard(id(found))
            self._old_tables[id(found)] = found

    # the end of the load

    def commit(self) -> None:
        """Move the new classes in, the old ones out, and let go of them."""
        for metadata in self._emptied:
            for name in _METADATA_VIEWS:
                if name in vars(metadata):
                    self._overlay.see(metadata, name)
        retired = self._retire()
        for real, staged in self._staged.items():
            merge(staged, real)
        for registry in retired:
            self._overlay.see(registry, "_class_registry", self._stage_names)
        self._overlay.commit()
        for names, staged in self._names.values():
            if isinstance(names, dict):
                share(names, staged)
        self._listeners.commit()
        self._engines.clear()
        vars(self).clear()

    def _retire(self) -> list[MapperRegistry]:
        """Give the old classes of each registry one of their own, with the names that they know."""
        touched = []
        for registry in self._registries:
            old = [mapper for mapper in mappers_of(registry) if mapper.class_.__module__ in self._modules]
            if not old:
                continue
            retired = retired_registry(registry)
            for mapper in old:
                move(mapper.class_manager, registry, retired)
            touched.append(registry)
        return touched

    def rollback(self) -> None:
        """Drop what the load defined; old code never saw it."""
        self._overlay.discard()
        self._listeners.rollback()
        self._carried.restore()
        for registry in set(all_registries()) - self._known:
            # Not collected yet, and maybe half defined: `configure_mappers()` must not find them.
            registry._managers.clear()
            registry._new_mappers = False
            unlink(registry)
        vars(self).clear()


def _types_of(table: Table) -> Iterator[Any]:
    """The types of a table's columns, with those inside arrays and those for single databases."""
    for column in table.columns:
        kind: Any = column.type
        yield from (kind, getattr(kind, "item_type", kind), *getattr(kind, "_variant_mapping", {}).values())


adapter = SQLAlchemyAdapter()
