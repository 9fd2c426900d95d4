"""Kept values of which nothing could be read: their bytes are kept until it can, and another was built in their place.

A list per name, oldest first: who renames a class twice and goes back finds the first one again. Knows no pickling.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

from hotsession.snapshot.heading import LOST, Heading, Keys, whose
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.steps import check
from hotsession.snapshot.store import Store
from hotsession.snapshot.unpickling import Parked, Unreadable, unpark


class Lost:
    """What is lost in a store, for the time being. Its methods raise `SnapshotUnusable`.

    Args:
        store: where.
        notices: where it is said.
    """

    def __init__(self, store: Store, notices: Notices) -> None:
        self._store = store
        self._notices = notices

    def __repr__(self) -> str:
        return f"<Lost in {self._store!r}>"

    def items(self, heading: Heading, parked: Parked) -> dict[bytes, bytes | None]:
        """What is to be stored when a value is lost: its bytes move to those that are."""
        keys = Keys(heading.name)
        stored = [*self._all(keys), *([(tuple(heading), parked.stored)] if parked.data else [])]
        return {keys.lost: pickle.dumps(stored) if stored else None, keys.heading: None, keys.whole: None}

    def returned(
        self,
        name: str,
        accept: Callable[[object], bool] = lambda value: True,
        is_wanted: Callable[[Heading], bool] = lambda heading: True,
    ) -> tuple[object, Heading, dict[bytes, bytes | None]] | None:
        """The newest one that can be read now, its heading, and what is to be stored when it is back.

        Args:
            name: of the value.
            accept: is given it, and says whether it is taken.
            is_wanted: says whether one that can't be read because of a step is waited for.

        Raises:
            StepRaised: one can't be, and is.
        """
        keys = Keys(name)
        stored = self._all(keys)
        for each in reversed(stored):
            parked = Parked(*each[1])
            try:
                _, value = unpark(parked)
            except Unreadable as error:
                if is_wanted(Heading(*each[0])):
                    check([("", error.parked)])
                self._notices.parked(whose(name), error.parked)
                continue
            if not accept(value):
                return None
            rest = [other for other in stored if other is not each]
            self._notices.returned(whose(name), parked)
            return value, Heading(*each[0]), {keys.lost: pickle.dumps(rest) if rest else None}
        return None

    def names(self) -> set[str]:
        """The names of the values that are lost."""
        return {Heading(*heading).name for _, stored in self._store.items(LOST) for heading, _ in pickle.loads(stored)}

    def count(self) -> int:
        """How many values are lost."""
        return sum(len(pickle.loads(stored)) for _, stored in self._store.items(LOST))

    def _all(self, keys: Keys) -> list[tuple[tuple, tuple]]:  # type: ignore[type-arg]
        stored = self._store.get(keys.lost)
        return [] if stored is None else list(pickle.loads(stored))
