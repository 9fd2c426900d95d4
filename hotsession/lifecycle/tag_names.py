"""Which tag stands for which type in one codec: those of the standard library, and the app's classes."""

from __future__ import annotations

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.app_classes import kind_of
from hotsession.lifecycle.kinds import STANDARD, Kind
from hotsession.lifecycle.misfit import type_name


class Kinds:
    """The kinds of one codec: those of the standard library, and the app's classes that were added."""

    def __init__(self) -> None:
        self._by_name = {kind.name: kind for kind in STANDARD}
        self._by_type = {kind.cls: kind for kind in STANDARD}
        self._by_origin: dict[tuple[str, str], Kind] = {}

    def add(self, cls: type, name: str) -> None:
        """Know instances of a class by a name from now on; a newer version of the class replaces the older.

        Raises:
            TypeError: the class is of no sort that we can take apart.
            ConfigurationError: the name stands for another class.
        """
        taken = self._by_name.get(name)
        if not name or (taken is not None and _origin(taken.cls) != _origin(cls)):
            raise ConfigurationError(
                f"{cls.__module__}.{cls.__qualname__} can't be registered as {name!r}, which stands for "
                f"{type_name(taken.cls) if taken else 'nothing'}: give it another name, register(cls, name=...)"
            )
        kind = kind_of(cls, name)
        older = self._by_origin.get(_origin(cls))
        if older is not None:
            self._by_type.pop(older.cls, None)  # so that old code can be collected
        self._by_name[name] = self._by_type[cls] = self._by_origin[_origin(cls)] = kind

    def __len__(self) -> int:
        """How many classes of the app are known."""
        return len(self._by_origin)

    def of(self, cls: type) -> Kind | None:
        """The kind of a type, or of the newer version of a class from before a reload."""
        return self._by_type.get(cls) or self._by_origin.get(_origin(cls))

    def named(self, name: object) -> Kind | None:
        """The kind with this tag."""
        return self._by_name.get(name) if isinstance(name, str) else None


def _origin(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
