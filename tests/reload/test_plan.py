"""What a change means, for a project whose modules import each other.

An arrow reads "imports"::

main ──> routes ──> services ──> models
 │          └──────────────────────^
 ├────> shop (package) ──> shop.cart ──> shop.prices
 ├────> plugins.hello (plugins is a namespace package)
 ├╌╌╌╌> reports (in a function) ──> models
 └────> ring_a <──> ring_b

lonely (imported by nobody any more)         missed by main: extra, shop.extra
fast (a compiled extension, imported by services)
"""

from __future__ import annotations

from typing import Any, Literal

import pytest

from hotsession.events import Change
from hotsession.reload.graph import ImportGraph
from hotsession.reload.plan import Plan, load_order, make_plan

ALL = {
    *("main", "routes", "services", "models", "shop", "shop.cart", "shop.prices"),
    *("plugins", "plugins.hello", "reports", "ring_a", "ring_b", "lonely"),
}


@pytest.fixture
def graph() -> ImportGraph:
    """The graph above."""
    graph = ImportGraph()
    graph.files = {name: f"/p/{name.replace('.', '/')}.py" for name in ALL}
    graph.files.update({"shop": "/p/shop/__init__.py", "plugins": ""})
    graph.folders = {"shop": ("/p/shop",), "plugins": ("/p/plugins",)}
    graph.extensions = {"fast": "/p/fast.so"}
    for importer, imported in [
        ("main", "routes"),
        ("main", "shop"),
        ("main", "plugins.hello"),
        ("main", "ring_a"),
        ("routes", "services"),
        ("routes", "models"),
        ("services", "models"),
        ("services", "fast"),
        ("shop", "shop.cart"),
        ("shop.cart", "shop.prices"),
        ("reports", "models"),
        ("ring_a", "ring_b"),
        ("ring_b", "ring_a"),
    ]:
        graph.record(importer, imported)
    graph.record("main", "reports", late=True)
    graph.missed["main"] |= {"extra", "shop.extra"}
    return graph


def plan(graph: ImportGraph, *files: str, kind: Any = "modified", scope: Literal["changed", "all"] = "changed") -> Plan:
    """The plan for changes of these files."""
    changes = [Change(f"/p/{file}", kind) for file in files]
    return make_plan(graph, "main", changes, scope=scope, search_path=["/p"])


def modules(graph: ImportGraph, *files: str, **options: Any) -> set[str]:
    """The modules that are replaced when these files change."""
    return set(plan(graph, *files, **options).modules)


def test_a_leaf_takes_all_that_import_it(graph: ImportGraph) -> None:
    """All importers up to the target are replaced, and nobody else."""
    assert modules(graph, "models.py") == {"models", "services", "routes", "reports", "main"}


def test_the_target_alone(graph: ImportGraph) -> None:
    """Nobody imports the target, so an edit of it replaces it alone."""
    assert modules(graph, "main.py") == {"main"}


def test_a_module_that_only_a_function_imports(graph: ImportGraph) -> None:
    """Who imports it in a function is replaced as well."""
    assert modules(graph, "reports.py") == {"reports", "main"}


def test_a_submodule(graph: ImportGraph) -> None:
    """What its package runs at import takes the package with it."""
    assert modules(graph, "shop/prices.py") == {"shop.prices", "shop.cart", "shop", "main"}


def test_a_package_leaves_its_submodules(graph: ImportGraph) -> None:
    """An edit of `__init__` replaces the package and who imports it; submodules that don't name it stay."""
    assert modules(graph, "shop/__init__.py") == {"shop", "main"}


def test_a_module_in_a_namespace_package(graph: ImportGraph) -> None:
    """The namespace itself has no code and stays."""
    assert modules(graph, "plugins/hello.py") == {"plugins.hello", "main"}


def test_a_cycle(graph: ImportGraph) -> None:
    """Modules that import each other are replaced together."""
    assert modules(graph, "ring_b.py") == {"ring_a", "ring_b", "main"}


def test_a_module_nobody_imports(graph: ImportGraph) -> None:
    """It was loaded once, so it is replaced, and the target with it."""
    assert modules(graph, "lonely.py") == {"lonely", "main"}


def test_two_changes_are_one_plan(graph: ImportGraph) -> None:
    """The changed modules come first, in the order of their files."""
    found = plan(graph, "shop/cart.py", "reports.py")
    assert found.changed == ("reports", "shop.cart")
    assert found.modules == {"reports", "shop.cart", "shop", "main"}


def test_a_file_that_means_nothing(graph: ImportGraph) -> None:
    """A Python file that is no module of the app leads to no plan."""
    assert not plan(graph, "tests/test_shop.py", kind="added")


def test_a_new_module_that_was_missed(graph: ImportGraph) -> None:
    """Who tried to import it is replaced, to try again."""
    assert modules(graph, "extra.py", kind="added") == {"main"}


def test_a_new_package_that_was_missed(graph: ImportGraph) -> None:
    """A package appears with its `__init__`."""
    assert modules(graph, "extra/__init__.py", kind="added") == {"main"}


def test_a_new_submodule_that_was_missed(graph: ImportGraph) -> None:
    """It is known by its dotted name, and its package may list its modules, so that is replaced too."""
    assert modules(graph, "shop/extra.py", kind="added") == {"shop", "main"}


def test_a_new_file_in_a_loaded_package(graph: ImportGraph) -> None:
    """The package may load all that lies in it, so it is replaced."""
    assert modules(graph, "shop/coupons.py", kind="added") == {"shop", "main"}


def test_a_package_that_takes_the_place_of_a_module(graph: ImportGraph) -> None:
    """A module that is now found elsewhere is replaced with its importers."""
    assert modules(graph, "services/__init__.py", kind="added") == {"services", "routes", "main"}


def test_a_deleted_module(graph: ImportGraph) -> None:
    """It is among those that go, and its importers are loaded anew without it."""
    found = plan(graph, "shop/prices.py", kind="deleted")
    assert found.removed == {"shop.prices"}
    assert found.modules == {"shop.prices", "shop.cart", "shop", "main"}


def test_a_renamed_module(graph: ImportGraph) -> None:
    """The old name goes; who missed the new one and who imported the old one are loaded anew."""
    changes = [Change("/p/reports.py", "deleted"), Change("/p/extra.py", "added")]
    found = make_plan(graph, "main", changes, search_path=["/p"])
    assert found.removed == {"reports"}
    assert found.modules == {"reports", "main"}


def test_scope_all(graph: ImportGraph) -> None:
    """Every own module is replaced, whichever changed."""
    assert modules(graph, "main.py", scope="all") == ALL


def test_scope_all_of_a_file_that_means_nothing(graph: ImportGraph) -> None:
    """A Python file that is no module of the app leads to no plan either."""
    assert not plan(graph, "tests/test_shop.py", kind="added", scope="all")


def test_a_watched_file_that_is_no_module(graph: ImportGraph) -> None:
    """Who reads a template or a configuration file is not known, so every own module is replaced."""
    assert modules(graph, "settings.toml") == ALL


def test_a_changed_extension_needs_a_restart(graph: ImportGraph) -> None:
    """A process loads a compiled extension only once; the plan says so and names it."""
    found = plan(graph, "main.py", "fast.so")
    assert found.restart == "fast is a compiled extension, which a process loads only once"
    assert not found.modules


def test_modules_to_be_replaced_in_any_case(graph: ImportGraph) -> None:
    """What a library knows to depend on the change is replaced with its importers."""
    found = make_plan(graph, "main", [Change("/p/main.py")], search_path=["/p"], also=["services"])
    assert found.modules == {"services", "routes", "main"}


def test_a_file_that_is_loaded_twice(graph: ImportGraph) -> None:
    """As `models` and as `app.models`: both are replaced, and the importers of both."""
    graph.files["app.models"] = graph.files["models"]
    graph.record("lonely", "app.models")
    assert modules(graph, "models.py") == {"models", "services", "routes", "reports", "main", "app.models", "lonely"}


def test_a_file_that_was_found_through_a_link(graph: ImportGraph) -> None:
    """It is known by where it really lies, and by the link."""
    graph.real_files["reports"] = "/elsewhere/reports.py"
    real = make_plan(graph, "main", [Change("/elsewhere/reports.py", "deleted")])
    assert real.modules == {"reports", "main"}
    assert real.removed == {"reports"}
    assert modules(graph, "reports.py") == {"reports", "main"}
    assert graph.without(frozenset({"reports"})).real_files == {}


def test_nothing_changed(graph: ImportGraph) -> None:
    """No changes, no plan."""
    assert not plan(graph)


def test_load_order(graph: ImportGraph) -> None:
    """The target is asked for first; a module that is gone is not asked for."""
    order = load_order(graph, plan(graph, "shop/prices.py", kind="deleted"), "main")
    assert order[0] == "main"
    assert set(order) == {"main", "shop", "shop.cart"}
