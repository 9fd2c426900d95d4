"""Who imports whom among the user's own modules: what really happened, not what the source seems to say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field


def _sets() -> defaultdict[str, set[str]]:
    return defaultdict(set)


@dataclass(slots=True)
class ImportGraph:
    """The own modules of one generation and the imports between them. It knows nothing of files on disk.

    Args:
        files: module name -> its source file; ``""`` for a namespace package, which has none.
        real_files: module name -> where its source file really lies, for those that were found through a link.
        folders: package name -> the directories its submodules lie in.
        extensions: name of an own extension module, or of one that an import hook loads -> its file. They are never
            loaded twice in one process.
        imports: module name -> the names it imported, those of functions at run time included.
        late: the part of `imports` that functions imported after their module was loaded.
        foreign: names of own modules that a library imported, because a setting or a string names them.
        missed: module name -> the names it tried to import in vain, because they were not there or raised.
    """

    files: dict[str, str] = field(default_factory=dict)
    real_files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    imports: defaultdict[str, set[str]] = field(default_factory=_sets)
    late: defaultdict[str, set[str]] = field(default_factory=_sets)
    missed: defaultdict[str, set[str]] = field(default_factory=_sets)
    foreign: set[str] = field(default_factory=set)

    def record(self, importer: str, imported: str, *, late: bool = False) -> None:
        """Note that `importer` imported `imported`.

        Importing ``package.module`` runs ``package`` first, so a module outside of the package depends on it
        as well; a module inside does not, unless it names it.
        """
        edges = self.imports[importer]
        if imported in edges:
            return
        edges.add(imported)
        if late:
            self.late[importer].add(imported)
        parent = imported.rpartition(".")[0]
        if parent and not f"{importer}.".startswith(f"{parent}."):
            self.record(importer, parent, late=late)

    def dependents(self, names: Iterable[str]) -> set[str]:
        """The given modules and all that import them, directly or not."""
        importers = _sets()
        for importer, imported in (*self.imports.items(), *self.missed.items()):
            for name in tuple(imported):
                importers[name].add(importer)
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend(importers[name])
        return found

    def without(self, names: frozenset[str]) -> ImportGraph:
        """What a generation that replaces the modules `names` takes over: the other modules with their imports.

        The sets of the modules carried over are the same objects, so that what they import late is known to both.
        """
        carried = ImportGraph()
        carried.files = {name: path for name, path in self.files.items() if name not in names}
        carried.real_files = {name: path for name, path in self.real_files.items() if name not in names}
        carried.folders = {name: paths for name, paths in self.folders.items() if name not in names}
        carried.extensions = dict(self.extensions)
        carried.foreign = self.foreign - names
        for mine, theirs in ((self.imports, carried.imports), (self.late, carried.late), (self.missed, carried.missed)):
            for name in {*carried.files, *carried.extensions, *tuple(mine)} - names:
                theirs[name] = mine[name]
        return carried
