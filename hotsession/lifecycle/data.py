"""What `request.session` is: a dict that knows whether this request read and wrote it."""

from __future__ import annotations

from typing import Any, Self

from hotsession.lifecycle.current import current, visit_of


class SessionData(dict[str, Any]):
    """The data of a browser's session.

    In memory storage concurrent requests of one browser share this object. `accessed` and `modified` are still each
    request's own: they are those of the visit that the running code belongs to. Changes inside a value
    (``request.session["messages"].append(...)``) are kept without being noticed here.
    """

    _own_accessed = False  # for data that no request holds
    _own_modified = False

    @property
    def accessed(self) -> bool:
        """Whether this request read or wrote it."""
        visit = visit_of(self)
        return self._own_accessed if visit is None else visit.accessed

    @property
    def modified(self) -> bool:
        """Whether this request wrote to it."""
        visit = visit_of(self)
        return self._own_modified if visit is None else visit.modified

    # Every access passes through these two, so they walk up the visits themselves, without the call of visit_of().

    def mark_accessed(self) -> None:
        """Note that this request read it: the response varies by cookie."""
        visit = current.get()
        while visit is not None and visit.data is not self:
            visit = visit.outer
        if visit is None:
            self._own_accessed = True
        else:
            visit.accessed = True
            if visit.is_over:
                visit.go_on()

    def mark_modified(self) -> None:
        """Note that this request wrote to it: the session is stored and the cookie sent."""
        visit = current.get()
        while visit is not None and visit.data is not self:
            visit = visit.outer
        if visit is None:
            self._own_accessed = self._own_modified = True
        else:
            visit.accessed = visit.modified = visit.unsaved = True
            if visit.is_over:
                visit.go_on()

    def __getitem__(self, key: str) -> Any:
        self.mark_accessed()
        return dict.__getitem__(self, key)

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of `key`, or `default`."""
        self.mark_accessed()
        return dict.get(self, key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        self.mark_modified()
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: str) -> None:
        self.mark_modified()
        super().__delitem__(key)

    def clear(self) -> None:
        """Take everything out; the session ends with it unless something new is put in."""
        self.mark_modified()
        super().clear()

    def pop(self, key: str, *default: Any) -> Any:
        """Take `key` out and return its value, or the default."""
        if key in self:
            self.mark_modified()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Take the last item out and return it."""
        item = super().popitem()
        self.mark_modified()
        return item

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        """The value of `key`, which is put in if it is missing."""
        if key not in self:
            self.mark_modified()
        return super().setdefault(key, default)

    def update(self, *other: Any, **more: Any) -> None:
        """Put several items in."""
        self.mark_modified()
        super().update(*other, **more)

    def __ior__(self, other: Any, /) -> Self:  # type: ignore[override,misc]
        self.mark_modified()
        return super().__ior__(other)
