"""The graph of imports: what is recorded, and what a generation takes over from the one before."""

from __future__ import annotations

import pytest

from hotsession.reload.graph import ImportGraph


@pytest.fixture
def graph() -> ImportGraph:
    """An empty graph."""
    return ImportGraph()


def test_a_module_depends_on_the_packages_above_what_it_imports(graph: ImportGraph) -> None:
    """Importing `a.b.c` runs `a` and `a.b` first."""
    graph.record("main", "a.b.c")
    assert graph.imports["main"] == {"a.b.c", "a.b", "a"}


def test_a_module_inside_does_not_depend_on_its_package(graph: ImportGraph) -> None:
    """Else an edit of a sibling that the package imports would replace every module in it."""
    graph.record("a.b.c", "a.b.d")
    assert graph.imports["a.b.c"] == {"a.b.d"}


def test_a_module_inside_depends_on_its_package_when_it_names_it(graph: ImportGraph) -> None:
    """`from . import x` may be any attribute of the package."""
    graph.record("a.b.c", "a.b")
    assert graph.dependents(["a.b"]) == {"a.b", "a.b.c"}


def test_a_package_with_a_similar_name_is_another_one(graph: ImportGraph) -> None:
    """`shop_admin` lies not inside of `shop`."""
    graph.record("shop_admin.views", "shop.cart")
    assert graph.imports["shop_admin.views"] == {"shop.cart", "shop"}


def test_late_imports_are_told_apart(graph: ImportGraph) -> None:
    """What only a function imports is an import, and known to be late; one at the top is not."""
    graph.record("main", "services")
    graph.record("main", "reports", late=True)
    graph.record("main", "services", late=True)
    assert graph.imports["main"] == {"services", "reports"}
    assert graph.late["main"] == {"reports"}


def test_dependents_of_something_unknown(graph: ImportGraph) -> None:
    """Nobody imports it."""
    assert graph.dependents(["x"]) == {"x"}


def test_what_is_carried_over(graph: ImportGraph) -> None:
    """Replaced modules start without imports; the others keep theirs, and share what they learn later."""
    graph.files = {"main": "/main.py", "models": "/models.py"}
    graph.extensions = {"fast": "/fast.so"}
    graph.record("main", "models")
    graph.record("models", "fast")
    carried = graph.without(frozenset({"main"}))
    assert carried.files == {"models": "/models.py"}
    assert carried.extensions == {"fast": "/fast.so"}
    assert "main" not in carried.imports
    graph.record("models", "enums", late=True)
    assert carried.imports["models"] == {"fast", "enums"}
    assert carried.late["models"] == {"enums"}
