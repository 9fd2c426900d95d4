"""Collectors that are defined again under the same names."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Summary,
    generate_latest,
    values,
)
from prometheus_client import Enum as States

from tests.reload.adapters.conftest import Project

METRICS = """
    from prometheus_client import Counter, Gauge, Histogram, Summary, Info, Enum
    hits = Counter("hits", "")
    seen = Counter("seen", "", ["path"])
    size = Gauge("size", "")
    took = Histogram("took", "", buckets=(1, 2))
    spent = Summary("spent", "", ["path"])
    build = Info("build", "")
    state = Enum("state", "", states=["a", "b"])
"""


@pytest.fixture(autouse=True)
def clean_default_registry() -> Iterator[None]:
    """Leave nothing in the default registry."""
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


def value(name: str, **labels: str) -> float | None:
    """What a scrape of the default registry says."""
    return REGISTRY.get_sample_value(name, labels)


def scrape() -> list[str]:
    """The lines of a scrape that are about the app's metrics."""
    lines = generate_latest(REGISTRY).decode().splitlines()
    return [line for line in lines if "python_" not in line and "process_" not in line]


def count(module: Any) -> None:
    """Count once with each metric."""
    module.hits.inc()
    module.seen.labels("/").inc()
    module.took.observe(1.5)
    module.spent.labels("/").observe(2)


def test_metrics_keep_their_values(project: Project) -> None:
    """All kinds of metrics, labelled or not, keep what they hold when they are defined again alike."""
    app = project.start(metrics=METRICS)
    for _ in range(3):
        count(app.metrics)
    app.metrics.size.set(7)
    app.metrics.build.info({"v": "1"})
    app.metrics.state.state("b")
    created = value("hits_created")
    for _ in range(3):
        app = project.reload(metrics=METRICS)
    assert (value("hits_total"), value("seen_total", path="/")) == (3, 3)
    assert (value("took_sum"), value("took_bucket", le="2.0"), value("took_count")) == (4.5, 3, 3)
    assert (value("spent_sum", path="/"), value("spent_count", path="/")) == (6, 3)
    assert (value("size"), value("build_info", v="1"), value("state", state="b")) == (7, 1, 1)
    assert value("hits_created") == created


def test_old_and_new_code_count_in_the_same_place(project: Project) -> None:
    """Requests in flight on old code and new ones add up, with children made before, during and after the load."""
    app = project.start(metrics=METRICS)
    count(app.metrics)
    child = app.metrics.seen.labels("/")
    new = project.reload(metrics=METRICS + '\n    early = seen.labels("/")')
    for module in (app.metrics, new.metrics):
        count(module)
    app.metrics.seen.labels("/late").inc()
    new.metrics.seen.labels("/late").inc()
    child.inc()
    new.metrics.early.inc()
    assert (value("hits_total"), value("seen_total", path="/"), value("seen_total", path="/late")) == (3, 5, 2)
    assert (value("took_count"), value("spent_count", path="/")) == (3, 3)


def test_scrape_during_the_load_shows_the_old_collectors(project: Project) -> None:
    """While new collectors are defined, a scrape shows each series once and as old code counts it."""
    app = project.start(metrics=METRICS)
    count(app.metrics)
    before = scrape()
    load = project.begin("metrics")
    new = load.run({"metrics": METRICS + '\n    more = Counter("more", "")\n    hits.inc(10)'})
    with load.inside():
        assert (value("hits_total"), value("more_total")) == (10, 0)
    assert scrape() == before
    app.metrics.hits.inc()
    load.commit()
    assert (value("hits_total"), value("more_total")) == (12, 0)
    assert REGISTRY._names_to_collectors["hits"] is new.metrics.hits


def test_failed_load_leaves_no_trace(project: Project) -> None:
    """After a load that fails, the registry is the very same and what the failed code counted is not in it."""
    app = project.start(metrics=METRICS)
    count(app.metrics)
    before = (REGISTRY._names_to_collectors, dict(REGISTRY._names_to_collectors), scrape())
    load = project.begin("metrics")
    with pytest.raises(ZeroDivisionError):
        load.run(
            {"metrics": METRICS + '\n    hits.inc(10); size.set(9); seen.labels("/x"); Counter("more", ""); 1 / 0'}
        )
    load.rollback()
    assert REGISTRY._names_to_collectors is before[0]
    assert (dict(REGISTRY._names_to_collectors), scrape()) == before[1:]
    project.reload(metrics=METRICS)
    assert value("hits_total") == 1


def test_changed_metric_starts_afresh(project: Project) -> None:
    """Other labels, buckets or another type give a metric with nothing in it; a removed one is gone."""
    app = project.start(metrics=METRICS)
    count(app.metrics)
    app.metrics.size.set(3)
    project.reload(
        metrics="""
            from prometheus_client import Counter, Gauge, Histogram
            seen = Counter("seen", "", ["path", "method"])
            size = Counter("size", "")
            took = Histogram("took", "", buckets=(1, 2, 3))
        """
    )
    assert (value("seen_total", path="/"), value("size_total"), value("took_count")) == (None, 0, 0)
    assert (value("hits_total"), value("spent_count", path="/")) == (None, None)


def test_value_that_the_load_set_is_the_newer_one(project: Project) -> None:
    """A gauge, info or state that new code sets while it loads has that value; one it leaves alone has the old."""
    app = project.start(metrics=METRICS)
    app.metrics.size.set(7)
    app.metrics.build.info({"v": "1"})
    project.reload(metrics=METRICS + '\n    size.set(9); build.info({"v": "2"}); state.state("b")')
    assert (value("size"), value("build_info", v="2"), value("state", state="b")) == (9, 1, 1)


OWN = """
    from prometheus_client import CollectorRegistry, Counter
    mine = CollectorRegistry()
    base = Counter("base", "", registry=mine)
"""
USER = """
    from prometheus_client import Counter
    from metrics import mine
    hits = Counter("hits", "", registry=mine)
"""


def test_carried_registry_of_ones_own(project: Project) -> None:
    """Collectors in a registry that another module holds are replaced in it; the other module's stay."""
    app = project.start(metrics=OWN, views=USER)
    app.views.hits.inc()
    app.metrics.base.inc()
    project.reload(views=USER)
    mine: CollectorRegistry = app.metrics.mine
    assert (mine.get_sample_value("hits_total"), mine.get_sample_value("base_total")) == (1, 1)
    project.reload(views="")
    assert (mine.get_sample_value("hits_total"), mine.get_sample_value("base_total")) == (None, 1)


def test_replaced_registry_hands_over_what_was_counted(project: Project) -> None:
    """A registry that is itself replaced has the counts in its successor, and still answers old code."""
    app = project.start(metrics=OWN)
    app.metrics.base.inc()
    new = project.reload(metrics=OWN)
    app.metrics.base.inc()
    assert app.metrics.mine.get_sample_value("base_total") == 2
    assert new.metrics.mine.get_sample_value("base_total") == 2


def test_name_of_a_carried_module_is_still_taken(project: Project) -> None:
    """A collector of a module that stays can't be defined by another one, in a load as anywhere."""
    project.start(one='from prometheus_client import Counter\nhits = Counter("hits", "")', two="")
    load = project.begin("two")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        load.run({"two": 'from prometheus_client import Counter\nCounter("hits", "")'})
    load.rollback()


@pytest.mark.parametrize(
    "source",
    [
        'class Metrics:\n    hits = Counter("hits", "")',
        'class Metrics:\n    def __init__(self): self.hits = Counter("hits", "")\nmetrics = Metrics()',
        'held = {"hits": Counter("hits", "")}',
        'def make():\n    hits = Counter("hits", "")\n    return lambda: hits.inc()\ninc = make()',
    ],
    ids=["class", "instance", "dict", "closure"],
)
def test_collectors_that_are_no_module_attributes(project: Project, source: str) -> None:
    """A collector in a class, an object, a container or a closure can be defined again and keeps its count."""
    source = "from prometheus_client import Counter\n" + source
    project.start(metrics=source)
    for _ in range(3):
        REGISTRY._names_to_collectors["hits"].inc()  # type: ignore[attr-defined]
        project.reload(metrics=source)
    assert value("hits_total") == 3


def test_custom_collectors_are_replaced(project: Project) -> None:
    """One of the user's own class is there once, with and without names, though no other module has the registry."""
    source = """
        from prometheus_client import REGISTRY, CollectorRegistry
        from prometheus_client.core import GaugeMetricFamily
        from held import nameless
        class Mine:
            def collect(self):
                yield GaugeMetricFamily("mine", "", value={value})
        REGISTRY.register(Mine())
        nameless.register(Mine())
    """
    app = project.start(
        held="from prometheus_client import CollectorRegistry\nnameless = CollectorRegistry()",
        metrics=source.format(value=1),
    )
    project.reload(metrics=source.format(value=2))
    for registry in (REGISTRY, app.held.nameless):
        assert [line for line in generate_latest(registry).splitlines() if line.startswith(b"mine")] == [b"mine 2.0"]


class FileValue(values.MutexValue):
    """A value of multiprocess mode, which is read from a file when it is made; here the file is a dict."""

    _multiprocess = True
    file: ClassVar[dict[str, float]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self.key = repr(args)
        self._value = self.file.setdefault(self.key, 0.0)

    def inc(self, amount: float) -> None:
        self._value += amount
        self.file[self.key] = self._value


def test_multiprocess_mode_counts_nothing_twice(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that lie in a file, which old and new metrics both read, are handed over and not added."""
    monkeypatch.setattr(values, "ValueClass", FileValue)
    app = project.start(metrics=METRICS)
    for _ in range(2):
        count(app.metrics)
    new = project.reload(metrics=METRICS)
    for module in (app.metrics, new.metrics):
        count(module)
    assert (value("hits_total"), value("seen_total", path="/"), value("took_count")) == (4, 4, 4)


def test_collectors_of_a_failed_first_load_do_not_stand_in_the_way(project: Project) -> None:
    """Collectors of code that failed when nobody had made room are defined again by the fix."""
    source = (
        METRICS
        + """
    from prometheus_client import REGISTRY
    from prometheus_client.core import GaugeMetricFamily
    class Mine:
        def collect(self):
            yield GaugeMetricFamily("mine", "", value=1)
    REGISTRY.register(Mine())
    """
    )
    project.start(metrics=source)
    del sys.modules["metrics"]
    load = project.begin("main")
    new = load.run({"main": "", "metrics": source})
    load.commit()
    count(new.metrics)
    assert value("hits_total") == 1
    assert scrape().count("mine 1.0") == 1


def test_old_collectors_are_collected(project: Project) -> None:
    """A replaced metric, its module and its functions are not kept alive by the new one."""
    app = project.start(metrics=METRICS + "\n    def f(): return 1\n    size.set_function(f)")
    count(app.metrics)
    watched = [weakref.ref(each) for each in (app.metrics, app.metrics.f, app.metrics.seen, app.metrics.hits)]
    del app
    project.reload(metrics=METRICS)
    gc.collect()
    assert [each() for each in watched] == [None] * 4


def test_internals_are_as_the_adapter_expects() -> None:
    """prometheus_client still keeps its registries and values in the attributes that the adapter takes over."""
    registry = CollectorRegistry()
    assert {"_collector_to_names", "_names_to_collectors", "_lock"} <= vars(registry).keys()
    assert {"_value", "_created"} <= vars(Counter("a", "", registry=registry)).keys()
    assert "_value" in vars(Gauge("b", "", registry=registry))
    assert {"_sum", "_buckets", "_upper_bounds", "_created"} <= vars(Histogram("c", "", registry=registry)).keys()
    assert {"_sum", "_count", "_created"} <= vars(Summary("d", "", registry=registry)).keys()
    assert vars(Info("e", "", registry=registry))["_value"] == {}
    assert vars(States("f", "", registry=registry, states=["x"]))["_value"] == 0
    assert {"_metrics", "_lock"} <= vars(Counter("g", "", ["l"], registry=registry)).keys()
