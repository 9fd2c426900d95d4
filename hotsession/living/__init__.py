"""Living objects follow their classes: what is in sessions and kept values becomes of the classes as they are now.

The same rules hold in place, after a reload, and for what is read from the snapshot after a restart::

    declare.py   what users say: migrate, renamed, moved
    shapes.py    what of a class its objects depend on (pure)
    changes.py   what became of one class, worked out once for all of its objects
    defaults.py  what a field is at first, as dataclasses, attrs and pydantic say it
    state.py     the attributes of an object, read and set without running any code of its own
    versions.py  which version objects are of, and what brings them to the next (pure)
    fields.py    what becomes of the attributes of an object whose class changed (pure)
    pydantic_models.py  what is particular to pydantic models (pure)
    generics.py  what is made of classes by giving them parameters (pure)
    asides.py    values of fields that are gone, until these return
    kinds.py     how an object holds others, by its class
    graph.py     what an object holds, and how to put something else in a place
    swaps.py     what stands for what in one conversion
    additions.py the change that nearly all saves are, done quickly
    layouts.py   one object made one of the new class
    mapped.py    the same for what SQLAlchemy has mapped
    before.py    how things were before a step, should it fail
    rules.py     what is asked of those who know what changed
    conversion.py  all objects that hang on one session or kept value
    restored.py  the same for objects that come from bytes
    classes.py   which classes were replaced, and by what
    lookup.py    classes and functions by their names
    owning.py    which classes are the app's own
    outcome.py   what became of objects
    notices.py   what is said of that in the log

It knows no session, no storage and no reload: it is told what was replaced, and where to begin.
"""

from hotsession.living.declare import migrate, moved, renamed

__all__ = ["migrate", "moved", "renamed"]
