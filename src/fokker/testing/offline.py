"""Checks make no connections: what would have to be downloaded first is not checked."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from fokker.testing.check import NotApplicable

__all__ = ["offline"]


@contextmanager
def offline() -> Iterator[None]:
    """Refuse every connection; what fails for want of one is not applicable, with the component's own reason.

    Sockets within the machine, by which processes talk to each other, are left alone.

    Raises:
        NotApplicable: If a connection was asked for inside, and an error came of it.
    """
    asked: list[Any] = []

    def refuse(what: Any) -> None:
        asked.append(what)
        raise OSError("checks make no connections")

    def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
        def connected(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                refuse(address)
            return connect(self, address)

        return connected

    with ExitStack() as patches:
        for name in ("connect", "connect_ex"):
            patches.enter_context(mock.patch.object(socket.socket, name, guarded(getattr(socket.socket, name))))
        patches.enter_context(mock.patch.object(socket, "getaddrinfo", lambda host, *_, **__: refuse(host)))
        try:
            yield
        except Exception as error:
            if asked:
                raise NotApplicable(f"checks make no connections, and this asks for one: {error}") from error
            raise
