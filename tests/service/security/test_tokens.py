"""The file of callers: made, read, changed, damaged."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from bioelx.errors import FileError, NotFoundError, ServiceError
from bioelx.service.caller import Role
from bioelx.service.security.access import Register
from bioelx.service.security.tokens import Grant, add, new_token, read_grants, revoke

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "tokens.json"


def grant(file: Path, name: str, **more: object) -> str:
    token, digest = new_token()
    add(Grant(name=name, sha256=digest, created=NOW, **more), file)
    return token


def test_a_token_has_256_random_bits_and_stays_out_of_the_file(file):
    tokens = {grant(file, "ward") for _ in range(5)}
    assert len(tokens) == 5
    assert {len(token) for token in tokens} == {len("bioelx_") + 43}
    content = file.read_text(encoding="utf-8")
    for token in tokens:
        assert token.removeprefix("bioelx_") not in content
        found = read_grants(file).with_token(token)
        assert found
        assert found.name == "ward"
    assert read_grants(file).with_token("bioelx_") is None
    assert read_grants(file).with_token("\ud800") is None


def test_the_file_is_the_owners_and_keeps_what_the_owner_chose(file):
    grant(file, "ward")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    grant(file, "ward")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_whoever_may_read_it_still_may_when_it_has_changed(file):
    """A server that cannot read the new one goes on with those who were revoked."""
    grant(file, "ward")
    group = next((each for each in os.getgroups() if each != os.getegid()), None)
    owner = file.stat().st_uid
    if os.geteuid() == 0:
        owner = group = 10001
    if group is None:
        pytest.skip("needs a second group")
    os.chown(file, owner, group)
    file.chmod(0o440)
    revoke("ward", file)
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, group, 0o440)


def test_those_who_change_it_at_once_lose_nothing(file):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: grant(file, f"ward-{i}"), range(12)))
    assert {each.name for each in read_grants(file).callers} == {f"ward-{i}" for i in range(12)}


def test_revoking_takes_all_of_a_name_or_one_by_its_id(file):
    kept, gone = grant(file, "ward"), grant(file, "ward")
    other = grant(file, "lab")
    one = read_grants(file).with_token(gone)
    assert one
    assert revoke(one.id, file) == [one]
    assert read_grants(file).with_token(gone) is None
    assert read_grants(file).with_token(kept)
    assert len(revoke("ward", file)) == 1
    assert [each.name for each in read_grants(file).callers] == ["lab"]
    assert read_grants(file).with_token(other)
    with pytest.raises(NotFoundError):
        revoke("ward", file)


def test_a_certificate_is_of_one_caller(file):
    add(Grant(name="a", certificate="a.example", created=NOW), file)
    with pytest.raises(FileError, match="revoke it first"):
        add(Grant(name="b", certificate="a.example", created=NOW), file)


def test_an_expired_token_is_told_so(file):
    past = datetime.now(UTC) - timedelta(seconds=1)
    token = grant(file, "late", expires=past)
    with pytest.raises(ServiceError, match="has expired"):
        Register(file, certificates=False).identify([("authorization", f"Bearer {token}")], None)


def test_the_scheme_is_read_as_http_has_it(file):
    token = grant(file, "ward", role=Role.ADMIN)
    register = Register(file, certificates=False)
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert register.identify([("authorization", f"{scheme} {token}")], None).name == "ward"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"version": 2}, "version"),
        ({"callers": [{"name": "a b"}]}, "callers.0.name"),
        ({"callers": [{"role": "root"}]}, "callers.0.role"),
        ({"callers": [{"sha256": "0"}]}, "callers.0.sha256"),
        ({"callers": [{"sha256": None}]}, "callers.0"),
        ({"callers": [{"certificate": "x"}]}, "callers.0"),
        ({"callers": [{"created": "2026-11-30T00:00:00"}]}, "callers.0.created"),
        ({"callers": [{"mentions_per_minute": 0}]}, "callers.0.mentions_per_minute"),
        ({"callers": [{"token": "x"}]}, "callers.0.token"),
        ({"callers": [{}, {}]}, "same token"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(file, changed, where):
    whole = {"name": "a", "sha256": "0" * 64, "created": "2026-11-30T00:00:00Z"}
    said = {**changed, "callers": [{**whole, **each} for each in changed.get("callers", [])]}
    file.write_bytes(orjson.dumps(said))
    with pytest.raises(FileError, match=where) as caught:
        read_grants(file)
    assert str(file) in str(caught.value)
    assert "0" * 64 not in str(caught.value)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileError, match="is no folder"):
        grant(tmp_path / "missing" / "tokens.json", "ward")
