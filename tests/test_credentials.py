"""When a client sends a token, and when it would rather not."""

from __future__ import annotations

import pytest

from bioelx.channel import stays_on_this_machine
from bioelx.client import Client
from bioelx.credentials import Credentials
from bioelx.errors import BioelxError, FileError


@pytest.mark.parametrize(
    ("address", "stays"),
    [
        ("localhost:50051", True),
        ("127.0.0.1:50051", True),
        ("127.8.8.8:1", True),
        ("[::1]:50051", True),
        ("::1", True),
        ("dns:///localhost:50051", True),
        ("dns:localhost:50051", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv6:[::1]:1", True),
        ("127.0.0.1:1, localhost:2", True),
        ("unix:/run/bioelx", True),
        ("linker.example:50051", False),
        ("10.0.0.7:50051", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("[2001:db8::1]:50051", False),
        ("2001:db8::1", False),
        ("dns:///linker.example:50051", False),
        ("dns://127.0.0.1/linker.example:50051", False),
        ("ipv4:127.0.0.1:1,10.0.0.7:1", False),
        ("localhost.example:1", False),
        ("unix.example:1", False),
        ("xds:///localhost:1", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(address, stays):
    assert stays_on_this_machine(address) is stays


def test_a_token_is_not_sent_to_another_machine_unencrypted(tmp_path):
    with pytest.raises(BioelxError, match="unencrypted"):
        Client("linker.example:50051", credentials=Credentials(token="x"))
    shown = (("authorization", "Bearer x"),)
    assert Credentials(token="x").metadata("localhost:1") == shown
    assert Credentials(token="x", tls=True).metadata("linker.example:1") == shown
    assert Credentials(token="x", ca=tmp_path / "ca").metadata("linker.example:1") == shown


def test_tokens_come_from_a_file_or_the_environment_and_are_not_shown(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("from-file\n", encoding="utf-8")
    assert Credentials(token_file=file).metadata("localhost:1")[0][1] == "Bearer from-file"
    monkeypatch.setenv("BIOELX_TOKEN", "from-environment")
    known = Credentials()
    assert known.metadata("localhost:1")[0][1] == "Bearer from-environment"
    assert "from-environment" not in repr(known)
    with pytest.raises(BioelxError, match="leave one"):
        Credentials(token_file=file).metadata("localhost:1")


def test_an_empty_variable_says_nothing(monkeypatch):
    for name in Credentials.model_fields:
        monkeypatch.setenv(f"BIOELX_{name.upper()}", "")
    assert Credentials() == Credentials.model_construct()


@pytest.mark.parametrize("token", ["", "two\nlines", "zwölf", "nul\0"])
def test_what_is_no_token_is_told_before_a_call(token):
    with pytest.raises(BioelxError, match="the token") as caught:
        Client("localhost:1", credentials=Credentials(token=token))
    assert not token or token not in str(caught.value)


def test_missing_files_and_halves_are_named(tmp_path):
    missing = tmp_path / "missing.pem"
    for credentials in (
        Credentials(ca=missing),
        Credentials(token_file=missing),
        Credentials(client_certificate=missing, client_key=missing),
    ):
        with pytest.raises(FileError, match=str(missing)):
            Client("localhost:1", credentials=credentials)
    with pytest.raises(BioelxError, match="need each other"):
        Client("localhost:1", credentials=Credentials(client_key=missing))
