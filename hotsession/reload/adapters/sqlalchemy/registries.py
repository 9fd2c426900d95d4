"""Registries of mapped classes: what there is, and how classes and their names get from one to another.

It knows nothing of loads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, clsregistry, mapperlib
from sqlalchemy.orm import registry as MapperRegistry  # noqa: N812  (ours is called registry as well)

_RETIRED = "_hotsession_retired"
# SQLAlchemy 2.0 has it without the underscore.
add_class: Any = getattr(clsregistry, "_add_class", getattr(clsregistry, "add_class", None))
logger = logging.getLogger("hotsession.sqlalchemy")


def all_registries() -> list[MapperRegistry]:
    """Every registry of mapped classes in the process."""
    return list(mapperlib._all_registries())


def retired_registry(real: MapperRegistry) -> MapperRegistry:
    """A registry for classes of `real` that were replaced: there for the requests in flight, and for nobody else."""
    names: Any = real.__dict__["_class_registry"].copy()
    retired = MapperRegistry(metadata=real.metadata, class_registry=names, constructor=real.constructor)
    retired.__dict__[_RETIRED] = True
    return retired


def mappers_of(registry: MapperRegistry) -> list[Mapper[Any]]:
    """The mappers of a registry."""
    return [manager.mapper for manager in list(registry._managers) if manager.is_mapped]


def is_retired(registry: MapperRegistry) -> bool:
    """Whether a registry was made by `retired_registry`."""
    return _RETIRED in vars(registry)


def configure(registries: Iterable[MapperRegistry]) -> None:
    """Resolve the relationships of all mapped classes now, while the names in them still mean what they meant."""
    for registry in registries:
        try:
            registry.configure(cascade=True)
        except (SQLAlchemyError, AttributeError, TypeError, NameError) as error:
            # The classes were broken before, and their own requests say so; the new ones may be the cure.
            logger.debug("Mapped classes that are about to be replaced can't be configured: %s", error)


def classes_of(found: Any) -> list[type]:
    """The classes behind an entry of a class registry: one, several of one name, or none for a module's entry."""
    if isinstance(found, type):
        return [found]
    return [kind for kind in found if kind is not None] if isinstance(found, clsregistry._MultipleClassMarker) else []


def share(names: dict[str, Any], staged: dict[str, Any]) -> None:
    """Fill the dict of names that the user gave to his registries with the new ones: it is his, and holds strongly."""
    names.clear()
    names.update(staged)
    for registry in all_registries():
        if registry._class_registry is staged:
            registry._class_registry = names


def move(manager: Any, source: MapperRegistry, target: MapperRegistry) -> None:
    """Let a mapped class, known by its manager, be one of `target` instead of `source`."""
    source._managers.pop(manager, None)
    target._managers[manager] = True
    manager.registry = target
    if manager.is_mapped:
        manager.mapper.registry = target
    for name in ("_declare_first_classes", "_declare_last_classes"):  # SQLAlchemy 2.1's
        if manager.class_ in getattr(source, name, ()):
            del getattr(source, name)[manager.class_]
            getattr(target, name)[manager.class_] = True


def merge(staged: MapperRegistry, real: MapperRegistry) -> None:
    """Move all of `staged` into `real`."""
    for manager in list(staged._managers):
        move(manager, staged, real)
    for other in staged._dependencies - {real}:
        real._set_depends_on(other)
    for other in staged._dependents - {real}:
        other._set_depends_on(real)
    real._new_mappers = real._new_mappers or staged._new_mappers
    staged._new_mappers = False
    unlink(staged)


def unlink(registry: MapperRegistry) -> None:
    """Let no other registry lead to this one."""
    for other in registry._dependencies:
        other._dependents.discard(registry)
    for other in registry._dependents:
        other._dependencies.discard(registry)
    registry._dependencies.clear()
    registry._dependents.clear()
