"""The session cookie: reading it from a request's headers and writing it into a response's. Knows no session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from hotsession.lifecycle.token import Signer

CANDIDATES = 4  # a browser may send cookies of one name from several paths and domains; more of them is mischief


class SessionCookie:
    """One cookie name with its attributes, as Starlette's session middleware has them.

    Args:
        name: of the cookie.
        signer: tells our tokens from others'.
        max_age: seconds that the browser keeps it; None for as long as it runs.
        path: below which the browser sends it.
        same_site: ``"lax"``, ``"strict"`` or ``"none"``.
        https_only: whether it is sent over HTTPS only.
        domain: that it is for, subdomains included; None for this host alone.
        partitioned: whether it is kept apart per embedding site.
    """

    def __init__(
        self,
        name: str,
        *,
        signer: Signer,
        max_age: int | None,
        path: str,
        same_site: Literal["lax", "strict", "none"],
        https_only: bool,
        domain: str | None,
        partitioned: bool,
    ) -> None:
        self.name = name
        self.max_age = max_age
        self._signer = signer
        self._prefix = name.encode("latin-1") + b"="
        flags = f"httponly; samesite={same_site}"
        if https_only:
            flags += "; secure"
        if domain is not None:
            flags += f"; domain={domain}"
        if partitioned:
            flags += "; partitioned"
        lasting = "" if max_age is None else f"Max-Age={max_age}; "
        gone = f"{name}=null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT; {flags}"
        self._attributes = f"; path={path}; {lasting}{flags}".encode("latin-1")
        self._gone = gone.encode("latin-1")

    def __repr__(self) -> str:
        return f"<SessionCookie {self.name!r} max_age={self.max_age}>"

    def tokens(self, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """What in the headers of a request may be one of our tokens, in their order."""
        found: list[bytes] = []
        for name, value in headers:
            if name == b"cookie":
                at = value.find(self._prefix)
                while at != -1 and len(found) < CANDIDATES:
                    start = at + len(self._prefix)
                    end = value.find(b";", start)
                    token = self._signer.unsign(value[start:] if end == -1 else value[start:end])
                    if token is not None and (at == 0 or value[at - 1] in b"; "):  # else the end of a longer name
                        found.append(token)
                    at = value.find(self._prefix, start)
        return found

    def expires_at(self, now: float) -> float | None:
        """When the browser forgets the cookie if it gets it `now`."""
        return None if self.max_age is None else now + self.max_age

    def giving(self, token: bytes) -> bytes:
        """The Set-Cookie header that gives a browser its token."""
        return self._prefix + self._signer.sign(token) + self._attributes

    def taking(self) -> bytes:
        """The Set-Cookie header that makes a browser forget its token."""
        return self._gone
