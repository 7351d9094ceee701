"""What a server may be told, and what it refuses to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioelx.errors import BioelxError
from bioelx.settings import ServerSettings, read_settings

TLS = {"tls_certificate": Path("c"), "tls_key": Path("k")}
TOKENS = {"tokens": Path("t")}
MUTUAL = {**TLS, "tls_client_ca": Path("ca")}
INSECURE = {"insecure_without_tls_and_authentication": True}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "linker.example"])
def test_other_machines_are_listened_to_only_with_tls_and_authentication(host):
    for given in ({}, TLS, TOKENS):
        with pytest.raises(BioelxError, match=r"^--insecure-without-tls-and-authentication "):
            read_settings(ServerSettings, host=host, **given)
        assert read_settings(ServerSettings, host=host, **given, **INSECURE)
    for given in ({**TLS, **TOKENS}, MUTUAL, {**MUTUAL, **TOKENS}):
        assert read_settings(ServerSettings, host=host, **given)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_is_listened_to_as_it_is_wanted(host):
    for given in ({}, TLS, TOKENS, MUTUAL):
        assert read_settings(ServerSettings, host=host, **given)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"tls_certificate": Path("c")}, "--tls-key"),
        ({"tls_key": Path("k")}, "--tls-key"),
        ({"tls_client_ca": Path("ca")}, "--tls-client-ca"),
        ({"tls_client_ca": Path("ca"), **TOKENS}, "--tls-client-ca"),
    ],
)
def test_halves_of_tls_are_named(given, option):
    with pytest.raises(BioelxError, match=f"^{option} .*--tls-certificate"):
        read_settings(ServerSettings, **given)


def test_admin_is_for_those_with_the_role_or_for_this_machine():
    def offers(**given: object) -> bool:
        return read_settings(ServerSettings, **given).offers_admin

    assert not offers()
    assert offers(admin=True)
    assert offers(**TOKENS)
    assert offers(host="0.0.0.0", **MUTUAL, **TOKENS)
    assert not offers(host="0.0.0.0", **MUTUAL)  # nobody could have the role
    assert not offers(release="x", **TOKENS)
    with pytest.raises(BioelxError, match=r"^--admin .*loopback"):
        read_settings(ServerSettings, host="0.0.0.0", admin=True, **TLS, **INSECURE)
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(BioelxError, match=r"^--admin .*role admin: only --tokens gives"):
            read_settings(ServerSettings, host=host, admin=True, **MUTUAL)
        assert offers(host=host, admin=True, **MUTUAL, **TOKENS)
