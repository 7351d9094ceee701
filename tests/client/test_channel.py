"""From an address to what gRPC takes."""

import socket

import pytest

from bioelx.channel import channel_options, target_of
from bioelx.errors import BioelxError


@pytest.mark.parametrize(
    "address",
    [
        "localhost:50051",
        "dns:///linker.example:50051",
        "unix:/run/bioelx",
        "ipv4:1.2.3.4:1,5.6.7.8:2",
    ],
)
def test_one_address_or_a_target_stays_as_it_is(address: str) -> None:
    assert target_of(address) == address
    assert "grpc.default_authority" not in dict(channel_options(address))


def test_several_addresses_become_numbers_under_the_first_ones_name() -> None:
    assert target_of("127.0.0.1:1, 127.0.0.2:2") == "ipv4:127.0.0.1:1,127.0.0.2:2"
    assert target_of("[::1]:1,[::2]:2") == "ipv6:[::1]:1,[::2]:2"
    assert target_of("localhost:1,127.0.0.2:2") == "ipv4:127.0.0.1:1,127.0.0.2:2"
    options = dict(channel_options("localhost:1,127.0.0.2:2"))
    assert options["grpc.default_authority"] == "localhost:1"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:1,", "an empty address: must be host:port"),
        ("127.0.0.1:1,127.0.0.1", "127.0.0.1: must be host:port"),
        ("127.0.0.1:1,127.0.0.1:http", "127.0.0.1:http: must be host:port"),
        ("127.0.0.1:1,[::1]:2", "some have only IPv4 addresses"),
    ],
)
def test_what_is_no_address_is_named(address: str, told: str) -> None:
    with pytest.raises(BioelxError, match=told):
        target_of(address)


def test_a_name_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BioelxError, match=r"^nowhere.invalid:1: .*not known"):
        target_of("nowhere.invalid:1,nowhere.invalid:2")
