import socket

import pytest

from fokker.testing.check import NotApplicable
from fokker.testing.offline import offline


def test_what_fails_for_want_of_a_connection_is_not_applicable():
    with (
        pytest.raises(NotApplicable, match="checks make no connections, and this asks for one: no mirror answers"),
        offline(),
    ):
        try:
            socket.create_connection(("localhost", 9), timeout=0.1)
        except OSError as error:
            raise ValueError("no mirror answers") from error


@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_addresses_are_refused_as_names_are(connect):
    with offline(), socket.socket() as opened, pytest.raises(OSError, match="no connections"):
        getattr(opened, connect)(("127.0.0.1", 9))


def test_what_fails_for_another_reason_fails():
    with pytest.raises(ValueError, match="another"), offline():
        raise ValueError("another reason")


def test_what_does_without_the_connection_passes():
    with offline():
        with pytest.raises(OSError, match="no connections"):
            socket.getaddrinfo("localhost", 80)


def test_sockets_within_the_machine_are_left_alone(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client, offline():
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


def test_connections_are_made_again_afterwards():
    before = socket.getaddrinfo, socket.socket.connect
    with offline():
        pass
    assert (socket.getaddrinfo, socket.socket.connect) == before
