"""Which classes were replaced, and by what: found by their names, as they are at the time of asking.

One object of the process knows it (`living`). It holds replaced classes weakly, so that they go with the last object
of theirs::

    epoch       counts up when classes were replaced: what was looked at since then needs no further look
    addresses   {replaced class: its module, and its name in there}
    shapes      {replaced class: the shape that its objects have}
    rebased     {class of a module that was not replaced: the shape it had before its base was}
    moves       {name that something had: its name now}, as users told
    asides      values of fields that are gone
    twins       objects that have become others in this epoch
    notices     what was said of it
"""

from __future__ import annotations

import abc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from hotsession.living.asides import Asides
from hotsession.living.changes import GONE, NAMELESS, Change, change
from hotsession.living.conversion import Conversion
from hotsession.living.generics import ALIASES, parametrised, renewed, with_arguments
from hotsession.living.kinds import Kind, kind_of
from hotsession.living.lookup import (
    MISSING,
    classes_in,
    current,
    goes_by_its_name,
    has_old_code,
    is_outdated,
    mark_as_old,
)
from hotsession.living.notices import Notices
from hotsession.living.outcome import Failed, Outcome
from hotsession.living.owning import is_own_module
from hotsession.living.shapes import Shape, shape_of
from hotsession.registry import registry

logger = logging.getLogger("hotsession")


class Living:
    """What the objects of this process follow."""

    def __init__(self) -> None:
        self.epoch = 0
        self.moves: dict[str, str] = {}
        self.asides = Asides()
        self.twins: dict[int, tuple[Any, Any]] = {}
        self.notices = Notices()
        # By the id of a session: steps that raised when it was read. What they were to change is in its bytes, and who
        # asks for the session is told, lest something else is put in its place.
        self.stuck: dict[str, Sequence[Failed]] = {}
        self.lock = threading.RLock()  # of who converts: one at a time
        self._addresses: WeakKeyDictionary[type, tuple[str, str]] = WeakKeyDictionary()
        self._has_old_code = False
        self._shapes: WeakKeyDictionary[type, Shape] = WeakKeyDictionary()
        self._rebased: WeakKeyDictionary[type, Shape] = WeakKeyDictionary()
        self._changes: WeakKeyDictionary[type, Change | None] = WeakKeyDictionary()
        self._kinds: WeakKeyDictionary[type, Kind] = WeakKeyDictionary()
        self._is_own: Callable[[str], bool] = lambda module: False
        self._in_slices: WeakSet[Conversion] = WeakSet()

    def __repr__(self) -> str:
        return f"<Living epoch={self.epoch} with {len(self._addresses)} replaced classes>"

    def note(self, replaced: Mapping[str, ModuleType | None], is_own: Callable[[str], bool]) -> bool:
        """Take note of modules that were just replaced, or are gone.

        Args:
            replaced: the old ones, by name.
            is_own: whether a module is the app's.

        Returns:
            Whether objects may have to follow.
        """
        with self.lock:
            self._settle()
            self._is_own = is_own
            self._changes.clear()
            self._kinds.clear()
            self._rebased.clear()
            old = {name: module for name, module in replaced.items() if module is not None}
            for module in old.values():
                mark_as_old(module)
            found = [(cls, name, path) for name, module in old.items() for path, cls in classes_in(module)]
            for cls, name, path in found:
                self._addresses[cls] = name, path
                self._shapes[cls] = shape_of(cls)
            for cls, _, _ in found:
                self._rebase(cls)
            self._has_old_code |= bool(old)
            if self._has_old_code:
                self.look_again()
            return self._has_old_code

    def look_again(self) -> None:
        """Have everything looked at once more: old code may have made objects of old classes since."""
        self.epoch += 1

    def forget_twins(self) -> None:
        """Everything has been looked at: nobody holds an object any more that has become another."""
        self.twins.clear()
        self.asides.prune()

    def conversion(self, root: Any) -> Conversion:
        """The conversion of what hangs on an object; to be run under the lock, in slices."""
        made = Conversion(root, self)
        self._in_slices.add(made)
        return made

    def follow(self, root: Any) -> Outcome:
        """Bring all objects that hang on one to the classes as they are now."""
        with self.lock:
            self._settle()
            return Conversion(root, self).finish()

    def _settle(self) -> None:
        """Finish what is paused while objects wait for steps of theirs to be run: they may be wanted right now."""
        for paused in [each for each in self._in_slices if each.owes_steps]:
            try:
                paused.finish()
            except Exception:  # of ours: who waits for other objects is not to suffer from it
                logger.exception("Objects that were to follow their classes could not all be looked at")

    # what a conversion asks

    def change_of(self, cls: type) -> Change | None:
        """What became of a class; None if it is as it was."""
        try:
            return self._changes[cls]
        except KeyError:
            made = self._changes[cls] = self._look(cls)
            return made

    def _look(self, cls: type) -> Change | None:
        if cls in self._rebased:
            return change(cls, self._rebased[cls], cls)
        made_of = parametrised(cls)
        if made_of is not None:
            origin = self._now(made_of.origin)
            arguments = tuple(renewed(each, self._class_now) for each in made_of.arguments)
            if origin is made_of.origin and arguments == made_of.arguments:
                return None
            new = with_arguments(origin, arguments) if isinstance(origin, type) else origin
            return change(cls, shape_of(cls), new)
        if cls not in self._addresses:
            return change(cls, shape_of(cls), NAMELESS) if self._is_lost(cls) else None
        new = self._now(cls)
        return None if new is cls else change(cls, self._shapes[cls], new)  # else it is in place after all

    def _is_lost(self, cls: type) -> bool:
        """Whether a class that no name leads to is of code, or of a base, that was replaced."""
        bases = [base for base in cls.__mro__ if base in self._addresses]
        return not goes_by_its_name(cls) and (has_old_code(cls) or any(self._now(base) is not base for base in bases))

    def _now(self, cls: type) -> Any:
        """What has the name of a class now, or `GONE`."""
        address = self._addresses.get(cls)
        if address is None:
            return cls
        found = current(*address, self.moves)
        return GONE if found is MISSING else found

    def _class_now(self, cls: type) -> type:
        """The class that has the name of one now; itself if none has."""
        known = self.change_of(cls)
        return known.new if known is not None and isinstance(known.new, type) else cls

    def kind_of(self, cls: type) -> Kind:
        """How objects of a class hold others."""
        kind = self._kinds.get(cls)
        if kind is None:
            kind = self._kinds[cls] = kind_of(cls, is_own=self.owns(cls))
        return kind

    def owns(self, cls: type) -> bool:
        """Whether a class is the app's."""
        made_of = parametrised(cls)
        if made_of is not None:  # whose module is the one in which that was made of them first, whichever that is
            return any(isinstance(each, type) and self.owns(each) for each in (made_of.origin, *made_of.arguments))
        module = _module_of(cls)
        return cls in self._addresses or self._is_own(module) or is_own_module(module)

    def reference(self, found: Any) -> Any:
        """What a class, function, or what `typing` makes of classes is now: itself, a newer one, or `GONE`."""
        if isinstance(found, type):
            known = self.change_of(found)
            return found if known is None or known.new is NAMELESS else known.new
        if type(found) in ALIASES:
            return renewed(found, self._class_now)
        if not isinstance(found, FunctionType) or not self._is_own(_module_of(found)) or not is_outdated(found):
            return found
        if "<" in found.__qualname__:  # it has no name that it could be found by
            return found
        now = current(found.__module__, found.__qualname__, self.moves)
        return GONE if now is MISSING else now

    # classes in modules that were not replaced

    def _rebase(self, old: type) -> None:
        """Have classes that stay where they are derive from the class that came in place of their base."""
        address = self._addresses[old]
        new = current(*address, self.moves)
        cls: Any
        for cls in type.__subclasses__(old):
            if not isinstance(new, type) or cls in self._addresses or not self._stays(cls) or parametrised(cls):
                continue
            before = shape_of(cls)
            try:
                if type(cls) not in (type, abc.ABCMeta):
                    raise TypeError(f"its metaclass is {type(cls).__qualname__}")
                cls.__bases__ = tuple(new if base is old else base for base in cls.__bases__)
            except TypeError as error:
                logger.warning(
                    "%s.%s still derives from %s as it was before the save, because its bases can't be changed (%s): "
                    "save its file as well, or restart.",
                    cls.__module__,
                    cls.__qualname__,
                    old.__qualname__,
                    error,
                )
            else:
                now = shape_of(cls)  # nobody knows who had a step
                self._rebased[cls] = before._replace(version=now.version, versions=now.versions)

    def _stays(self, cls: type) -> bool:
        """Whether a class is the one that its own module has by its name."""
        return self._is_own(_module_of(cls)) and goes_by_its_name(cls)


def _module_of(found: Any) -> str:
    module = getattr(found, "__module__", None)
    return module if isinstance(module, str) else ""


def living() -> Living:
    """What the objects of this process follow."""
    found: Living = registry.object("living", Living)
    return found
