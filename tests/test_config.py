"""A server's settings: each one a flag, a variable and a key of a file, from one definition."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from annotated_types import Le
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.config import Setting, gather, settings_in
from bioelx.errors import BioelxError, FileError
from bioelx.settings import ServerSettings

SETTINGS = {setting.key: setting for setting in settings_in(ServerSettings)}

COMPANIONS: dict[str, dict[str, Any]] = {
    "tls_certificate": {"tls_key": "there"},
    "tls_key": {"tls_certificate": "there"},
    "tls_client_ca": {"tls_certificate": "there", "tls_key": "there"},
}
"""Settings without which another is refused, by the key of that one."""

OWN_VALUES: dict[str, Any] = {
    "metrics_address": "127.0.0.1:9090",
    "health_address": "[::1]:50052",
}
"""Of settings that take not every value of their type."""


@pytest.fixture(autouse=True)
def _in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with one file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()


def show(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["serve", "--show-config", *arguments])


def shown(*arguments: str) -> dict[str, Any]:
    result = show(*arguments)
    assert result.exit_code == 0, result.output or result.exception
    return tomllib.loads(result.stdout)


def at(tables: Any, key: str) -> Any:
    """The value of a key; None where it stands in a comment."""
    for name in key.split("."):
        tables = tables.get(name)
    return tables


def another_value(setting: Setting) -> Any:
    """One that the setting may have, and has not by default, as a file says it."""
    if setting.key in OWN_VALUES:
        return OWN_VALUES[setting.key]
    default = setting.field.get_default(call_default_factory=True)
    kind = setting.field.annotation
    if NoneType in get_args(kind):
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Literal:
        return next(each for each in get_args(kind) if each != default)
    if get_origin(kind) is tuple:
        return ["one", "two"]
    if kind is bool:
        return not default
    if kind is Path:
        return "there"
    if kind is str:
        return f"{default}1"
    most = next((each.le for each in setting.field.metadata if isinstance(each, Le)), None)
    value = (default or 0) + 1
    return kind(value if most is None or value <= most else default / 2)


def as_flags(setting: Setting, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [setting.flag if value else setting.flag.replace("--", "--no-", 1)]
    values = value if isinstance(value, list) else [value]
    return [part for each in values for part in (setting.flag, str(each))]


def as_variable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_file(said: dict[str, Any], file: Path) -> None:
    lines = []
    for key in sorted(said, key=lambda key: "." in key):
        table, _, name = key.rpartition(".")
        lines += [f"[{table}]"] if table else []
        lines.append(f"{name} = {json.dumps(said[key])}")
    file.write_text("\n".join(lines))


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_can_be_said_in_three_ways(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = another_value(SETTINGS[key])
    said = {key: value, **COMPANIONS.get(key, {})}
    expected = str(tmp_path / "there") if value == "there" else value
    assert at(shown(), key) != expected

    flags = [flag for each in said for flag in as_flags(SETTINGS[each], said[each])]
    assert at(shown(*flags), key) == expected

    file = tmp_path / "bioelx.toml"
    as_file(said, file)
    assert at(shown("--config", str(file)), key) == expected

    for each in said:
        monkeypatch.setenv(SETTINGS[each].variable, as_variable(said[each]))
    assert at(shown(), key) == expected


def test_no_two_settings_share_a_flag_or_a_variable_and_all_say_what_they_mean() -> None:
    assert len({setting.flag for setting in SETTINGS.values()}) == len(SETTINGS)
    assert len({setting.variable for setting in SETTINGS.values()}) == len(SETTINGS)
    for setting in SETTINGS.values():
        assert setting.variable.startswith("BIOELX_")
        assert setting.field.description, setting.key
    taken = {"config", "show_config", "help"}
    assert not taken & {setting.option for setting in SETTINGS.values()}


def test_a_flag_comes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bioelx.toml"
    as_file({"port": 1, "threads": 1, "keep_loaded": 1, "limits.max_mentions": 1}, file)
    monkeypatch.setenv("BIOELX_CONFIG", str(file))
    monkeypatch.setenv("BIOELX_PORT", "2")
    monkeypatch.setenv("BIOELX_THREADS", "2")
    monkeypatch.setenv("BIOELX_MAX_MENTIONS", "")  # an empty variable says nothing
    said = show("--port", "3").stdout
    assert "port = 3  # flag --port\n" in said
    assert "threads = 2  # environment BIOELX_THREADS\n" in said
    assert f"keep_loaded = 1  # file {file}\n" in said
    assert f"max_mentions = 1  # file {file}\n" in said
    assert 'host = "127.0.0.1"  # default\n' in said


@pytest.mark.parametrize("key", SETTINGS)
def test_an_empty_variable_says_nothing(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who start containers set what they leave out to nothing."""
    default = at(shown(), key)
    monkeypatch.setenv(SETTINGS[key].variable, "")
    assert at(shown(), key) == default


@pytest.mark.parametrize("said", ['{"max_documents": 1}', "x"])
def test_a_variable_for_a_whole_table_is_refused(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOELX_LIMITS", said)
    with pytest.raises(BioelxError, match=r"^BIOELX_LIMITS: no setting; each key of \[limits\]"):
        gather(ServerSettings, {})


def test_what_is_shown_says_the_same_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = show("--home", "there", "--ranker", 'é "\\ 😀', "--no-admin", "--grace-seconds", "1.5")
    copy = tmp_path / "elsewhere" / "copy.toml"
    copy.parent.mkdir()
    copy.write_text(said.stdout, encoding="utf-8")
    monkeypatch.chdir(copy.parent)
    again = gather(ServerSettings, {}, Path("copy.toml"))
    assert again.settings.home == tmp_path / "there"
    assert again.settings.ranker == 'é "\\ 😀'
    assert tomllib.loads(again.as_toml()) == tomllib.loads(said.stdout)


@pytest.mark.parametrize("key", ["ranker", "release"])
def test_a_folder_is_meant_from_where_it_was_said_and_an_id_stays_one(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here/kept", "conf/kept", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for flags, file, expected in (
        ({key: "kept"}, {}, "here/kept"),
        ({}, {key: "kept"}, "conf/kept"),
        ({}, {key: "../here"}, "here"),
        ({}, {key: str(tmp_path / "conf")}, "conf"),
    ):
        as_file(file, tmp_path / "conf" / "a.toml")
        with monkeypatch.context() as patched:
            said = gather(ServerSettings, flags, Path("../conf/a.toml")).as_toml()
            patched.chdir(tmp_path / "elsewhere")
            Path("copy.toml").write_text(said, encoding="utf-8")
            again = gather(ServerSettings, {}, Path("copy.toml"))
        assert Path(getattr(again.settings, key)).samefile(tmp_path / expected)
        assert tomllib.loads(again.as_toml()) == tomllib.loads(said)
    for name in ("", "owner/name", "20260101T000000Z-0a1b2c3d"):
        as_file({key: name}, tmp_path / "conf" / "a.toml")
        effective = gather(ServerSettings, {}, tmp_path / "conf" / "a.toml")
        assert getattr(effective.settings, key) == name
        assert tomllib.loads(effective.as_toml())[key] == name


def test_a_path_in_a_file_is_meant_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    as_file({"home": "kept"}, tmp_path / "conf" / "a.toml")
    settings = gather(ServerSettings, {}, Path("conf/a.toml")).settings
    assert settings.home == tmp_path / "conf" / "kept"
    as_file({"home": "/kept"}, tmp_path / "conf" / "a.toml")
    assert gather(ServerSettings, {}, Path("conf/a.toml")).settings.home == Path("/kept")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("prot = 1", "prot: no such key; there are home, host, port"),
        ("_env_file = 'x'", "_env_file: no such key"),
        ("[limits]\nmax = 1", "limits.max: no such key; there are max_documents"),
        ("[limit]", "limit: no such key"),
        ("limits = 3", r"limits: must be a table, \[limits\]"),
        ("port = 70000", "port: Input should be less than or equal to 65535"),
        ("[limits]\nmax_top_k = 'many'", "limits.max_top_k: Input should be a valid integer"),
        ("[limits]\ndefault_top_k = 5\nmax_top_k = 4", "limits.default_top_k: is more than max"),
        ("admin = true\nrelease = 'x'", "admin: a server of one --release"),
        ("port = ", "not TOML"),
        ("port = 1\nport = 2", "not TOML"),
    ],
)
def test_a_bad_file_is_refused_by_its_name_and_its_key(
    content: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "bioelx.toml"
    file.write_text(content)
    with pytest.raises(FileError, match=f"^{file}: {told}"):
        gather(ServerSettings, {}, file)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "cannot be read"),
        (lambda path: path.write_bytes(b"\xff"), "not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    make: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    make(tmp_path / "bioelx.toml")
    result = show("--config", "bioelx.toml")
    assert isinstance(result.exception, FileError)
    assert str(result.exception).startswith(f"bioelx.toml: {told}")


def test_who_said_what_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOELX_MAX_TOP_K", "many")
    with pytest.raises(BioelxError, match=r"^BIOELX_MAX_TOP_K: Input should be a valid integer"):
        gather(ServerSettings, {})
    with pytest.raises(
        BioelxError, match=r"^--max-top-k .*: Input should be greater than or equal"
    ):
        gather(ServerSettings, {"max_top_k": 0})
    # A default that does not fit to what was said.
    with pytest.raises(BioelxError, match=r"^--default-top-k \(or BIOELX_DEFAULT_TOP_K\): is more"):
        gather(ServerSettings, {"max_top_k": 9})
    # A flag takes the place of what is wrong.
    monkeypatch.setenv("BIOELX_MAX_TOP_K", "99")
    assert gather(ServerSettings, {"max_top_k": 11}).settings.limits.max_top_k == 11


class Inner(BaseSettings):
    """A table."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_INNER_")

    roots: tuple[Path, ...] = Field((), description="folders")


class Outer(BaseSettings):
    """Settings of other types than a server has had."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_")

    names: tuple[str, ...] = Field((), description="names")
    share: Annotated[float, Le(1)] = Field(0.5, description="share")
    inner: Inner = Field(default_factory=Inner)


def test_lists_and_tables_in_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.toml"
    as_file({"names": ["a"], "inner.roots": ["r", "/s"]}, file)
    settings = gather(Outer, {}, file).settings
    assert settings.names == ("a",)
    assert settings.inner.roots == (tmp_path / "r", Path("/s"))
    monkeypatch.setenv("BIOELX_NAMES", '["b", "c"]')
    monkeypatch.setenv("BIOELX_INNER_ROOTS", '["t"]')
    effective = gather(Outer, {"names": ["d"]}, file)
    assert effective.settings.names == ("d",)
    assert effective.settings.inner.roots == (Path("t"),)
    assert tomllib.loads(effective.as_toml())["inner"]["roots"] == [str(tmp_path / "t")]
    monkeypatch.setenv("BIOELX_NAMES", "b, c")
    with pytest.raises(BioelxError, match=r"^BIOELX_NAMES: not JSON"):
        gather(Outer, {}, file)
