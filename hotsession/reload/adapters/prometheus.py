"""prometheus_client: collectors are defined again under the same names, and go on counting where the old ones were.

While a load is under way its code sees every `CollectorRegistry` without the collectors that it replaces; all others
see the real ones, so that a scrape shows each series once. At the commit a metric that was defined again alike (type,
name, labels, buckets or states) gets the old one's values, which requests in flight on old code go on counting in.

Internals this leans on, each pinned by a test: the instance attributes of `CollectorRegistry` and of the metrics that
are named below.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import Enum, Gauge, Info, MetricWrapperBase

from hotsession.reload.adapters.origins import Origins, is_left_over, note_origin, own_values
from hotsession.reload.adapters.overlay import Overlay

_LIBRARIES = frozenset({"prometheus_client"})
# What a registry knows; the last is not in older versions.
_VIEWED = ("_collector_to_names", "_names_to_collectors", "_collectors_without_names")


class PrometheusAdapter:
    """Takes collectors and what they have counted through a reload."""

    library = "prometheus_client"

    def dependents(self, modules: frozenset[str]) -> frozenset[str]:
        """None: collectors do not refer to each other."""
        return frozenset()

    def begin(self, modules: frozenset[str]) -> CollectorSuspension:
        """Let the collectors of `modules` be defined again."""
        return CollectorSuspension(modules, find_registries())

    def release(self) -> None:
        """Nothing to do: old metrics are held by old code only."""


def find_registries() -> list[CollectorRegistry]:
    """The default registry and those that stand in own modules; a collector does not know the one it is in."""
    found = {id(REGISTRY): REGISTRY}
    for _, values in own_values():
        for value in values:
            if issubclass(type(value), CollectorRegistry):
                found[id(value)] = value
    return list(found.values())


class CollectorSuspension:
    """One load as prometheus_client sees it.

    Args:
        modules: what is replaced.
        registries: those that are known.
    """

    def __init__(self, modules: frozenset[str], registries: list[CollectorRegistry]) -> None:
        self._modules = modules
        self._new: list[tuple[CollectorRegistry, Any]] = []
        self._old: dict[int, Any] = {}
        self._loose: set[int] = set()
        places = Origins(each for each in registries if each is not REGISTRY)  # the library's, whoever imported it
        self._gone = [registry for registry in registries if places.is_replaced(registry, modules)]
        self._carried = [registry for registry in registries if not places.is_replaced(registry, modules)]
        self._sort([each for registry in self._carried for each in list(registry._collector_to_names)])
        self._overlay = Overlay()
        try:
            self._put_up()
        except BaseException:
            self._overlay.discard()
            raise

    def _sort(self, collectors: list[Any]) -> None:
        origins = Origins(each for each in collectors if _own_kind(each) is None)
        for each in collectors:
            kind = _own_kind(each)
            if kind in self._modules or (kind and is_left_over(kind)) or origins.is_replaced(each, self._modules):
                self._old[id(each)] = each
            elif kind is None and not origins.modules(each):
                self._loose.add(id(each))

    def _put_up(self) -> None:
        present = vars(CollectorRegistry())
        for name in _VIEWED:
            if name in present:
                self._overlay.attribute(CollectorRegistry, name, self._stage)
        self._overlay.function(CollectorRegistry, "register", self._register)

    def _stage(self, registry: CollectorRegistry, known: Any) -> Any:
        """Collectors by name, names by collector, or a list of collectors, without the old ones."""
        if isinstance(known, list):
            return [each for each in known if id(each) not in self._old]
        return {key: each for key, each in dict(known).items() if self._old.keys().isdisjoint({id(key), id(each)})}

    def _register(self, original: Callable[..., None]) -> Callable[..., None]:
        def register(registry: CollectorRegistry, collector: Any) -> None:
            self._make_room(registry, collector)
            original(registry, collector)
            self._new.append((registry, collector))
            note_origin(collector, self._modules, _LIBRARIES)

        return register

    def _make_room(self, registry: CollectorRegistry, collector: Any) -> None:
        """Let a collector that nobody knows the module of be defined again: it is the old one that it replaces."""
        for name in registry._get_names(collector):  # type: ignore[no-untyped-call]
            found = registry._names_to_collectors.get(name)
            if id(found) in self._loose and found is not None:
                registry.unregister(found)
                self._loose.discard(id(found))
                self._old[id(found)] = found

    def commit(self) -> None:
        """Put the new collectors in place of the old ones, with what these have counted."""
        for registry, new in self._new:
            old = self._counterpart(registry, new)
            if old is not None:
                hand_over(old, new)
        with contextlib.ExitStack() as stack:
            for registry in self._carried:
                stack.enter_context(registry._lock)
                for name in _VIEWED:
                    if name in vars(registry):
                        self._overlay.see(registry, name)
            self._overlay.commit()
        self._forget()

    def _counterpart(self, registry: CollectorRegistry, new: Any) -> Any:
        """The old metric that `new` is defined again as: in the same registry, or in one that was replaced with it."""
        if self._overlay.is_born(registry):
            old = [each for gone in self._gone for each in gone._collector_to_names]
        else:
            old = [each for each in self._old.values() if each in registry.__dict__["_collector_to_names"]]
        alike = [each for each in old if is_alike(new, each)]
        return alike[0] if len(alike) == 1 else None

    def rollback(self) -> None:
        """Drop the new collectors; nobody has seen them."""
        self._overlay.discard()
        self._forget()

    def _forget(self) -> None:
        for container in (self._old, self._new, self._gone, self._carried):
            container.clear()


def _own_kind(collector: Any) -> str | None:
    """The module of a collector's class, which tells where it is from unless it is one of the library's metrics."""
    module = type(collector).__module__
    return None if isinstance(collector, MetricWrapperBase) and module == "prometheus_client.metrics" else module


def is_alike(new: Any, old: Any) -> bool:
    """Whether two metrics count the same thing: same kind, name, labels, and buckets or states or mode."""
    return all(isinstance(each, MetricWrapperBase) for each in (new, old)) and _shape(new) == _shape(old)


def _shape(metric: MetricWrapperBase) -> tuple[Any, ...]:
    kind = type(metric)
    details = (getattr(metric, name, None) for name in ("_upper_bounds", "_states", "_multiprocess_mode"))
    return (kind.__module__, kind.__qualname__, metric._type, metric._name, tuple(metric._labelnames), *details)


def hand_over(old: Any, new: Any) -> None:
    """Let `new` and `old` count in the same place: what `old` has counted, and what `new` has during its load.

    Args:
        old: the metric of the replaced code, which requests in flight go on using.
        new: one alike, with little or nothing in it.
    """
    if not old._is_parent():
        _hand_over_values(old, new)
        return
    with old._lock, new._lock:
        for labels, child in old._metrics.items():
            if labels in new._metrics:
                _hand_over_values(child, new._metrics[labels])
            else:
                new._metrics[labels] = child
        old._metrics, old._lock = new._metrics, new._lock


def _hand_over_values(old: Any, new: Any) -> None:
    if isinstance(new, (Enum, Info)):
        # Plain values, not counters: what the new code has set counts, else the old.
        if not new._value:
            new._value = old._value
        return
    for name in ("_value", "_sum", "_count"):
        if hasattr(old, name):
            _add(getattr(old, name), getattr(new, name), replaces=isinstance(new, Gauge))
            setattr(new, name, getattr(old, name))
    if hasattr(old, "_buckets"):
        for before, now in zip(old._buckets, new._buckets, strict=True):
            _add(before, now, replaces=False)
        new._buckets = old._buckets
    if hasattr(old, "_created"):
        new._created = old._created


def _add(old: Any, new: Any, *, replaces: bool) -> None:
    """Bring what was counted in a value during the load into the old value; a gauge's is set, not added."""
    counted = new.get()
    # In multiprocess mode both read the same file: what is in the new value is in the old one as well.
    if old is not new and counted and not new._multiprocess:
        old.set(counted) if replaces else old.inc(counted)


adapter = PrometheusAdapter()
