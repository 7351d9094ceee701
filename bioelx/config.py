"""What a server is told by flags, by its environment and by a TOML file, and who said what.

A setting is a field of a settings model, or of a model within it, which is a table of the file.
A new field there is at once a flag, a variable and a key:

    max_top_k of Limits    --max-top-k    BIOELX_MAX_TOP_K    [limits] max_top_k = 100

A flag comes before the environment, the environment before the file, the file before the default.
A list is a flag given several times, a variable with a JSON list, a list of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from bioelx.errors import BioelxError, FileError
from bioelx.settings import MAY_BE_FOLDER, ServerSettings
from bioelx.toml_file import explain, is_table, no_such_key, read_tables

PREFIX = "BIOELX_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""Names the file where no flag does."""

S = TypeVar("S", bound=BaseSettings)


@dataclass(frozen=True)
class Setting:
    """One definition, and what it is called where it may be said."""

    name: str
    table: str
    """Of the file; empty at its top."""
    owner: type[BaseSettings]
    field: FieldInfo

    @property
    def key(self) -> str:
        return f"{self.table}.{self.name}".removeprefix(".")

    @property
    def variable(self) -> str:
        return f"{self.owner.model_config.get('env_prefix', '')}{self.name}".upper()

    @property
    def option(self) -> str:
        """The flag as a parameter's name: `max_top_k` for `--max-top-k`."""
        return self.variable.removeprefix(PREFIX).lower()

    @property
    def flag(self) -> str:
        return "--" + self.option.replace("_", "-")


@dataclass(frozen=True)
class Effective(Generic[S]):
    """Settings, and who said each."""

    settings: S
    origins: Mapping[str, str]
    """By key; a key that is missing has its default."""

    def as_toml(self) -> str:
        """All of them as a file that, read from anywhere, says the same."""

        def tell(key: str, field: FieldInfo) -> tuple[Any, str]:
            value: Any = self.settings
            for name in key.split("."):
                value = getattr(value, name)
            return _from_folder(value, field, Path.cwd()), self.origins.get(key, "default")

        return explain(type(self.settings), tell=tell)


def settings_in(kind: type[BaseSettings], table: str = "") -> Iterator[Setting]:
    """The settings of a model and of those within it."""
    for name, field in kind.model_fields.items():
        if is_table(field.annotation):
            yield from settings_in(_kind(field), f"{table}.{name}".removeprefix("."))
        else:
            yield Setting(name, table, kind, field)


def gather(kind: type[S], flags: Mapping[str, Any], file: Path | None = None) -> Effective[S]:
    """Settings from all who may say them.

    Args:
        flags: by `Setting.option`, those that were given. Paths among them and in the environment
            are meant from the working folder, those of the file from the file's.

    Raises:
        FileError: the file is not TOML, or a key in it does not exist or fit; the key is named.
        BioelxError: a flag or a variable does not fit; it is named.
    """
    _check_environment(kind)
    tables = read_tables(file) if file else {}
    if file:
        _check_keys(tables, kind, file)
    origins = {}
    for setting in settings_in(kind):
        table = _table(tables, setting.table)
        said = _in_environment(setting)
        if setting.option in flags:
            table[setting.name] = flags[setting.option]
            origins[setting.key] = f"flag {setting.flag}"
        elif said is not None:
            table[setting.name] = said
            origins[setting.key] = f"environment {setting.variable}"
        elif file and setting.name in table:
            folder = file.absolute().parent
            table[setting.name] = _from_folder(table[setting.name], setting.field, folder)
            origins[setting.key] = f"file {file}"
    try:
        return Effective(kind(**tables), origins)
    except ValidationError as error:
        raise _refused(error, kind, origins, file) from None


def environment_of_own_server() -> dict[str, str]:
    """The environment for a server that this process starts for itself.

    What is said there of a server is meant for one that others call: certificates and callers
    would keep whoever starts this one out, addresses would be taken. What holds for linking in this
    process too stays (home, threads, limits, index).
    """
    of_another = {CONFIG_VARIABLE} | {
        setting.variable
        for setting in settings_in(ServerSettings)
        if not setting.table and setting.name not in ("home", "threads")
    }
    return {name: value for name, value in os.environ.items() if name.upper() not in of_another}


def _kind(field: FieldInfo) -> type[BaseSettings]:
    kind = field.annotation
    assert isinstance(kind, type)
    assert issubclass(kind, BaseSettings)
    return kind


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    for part in name.split(".") if name else ():
        tables = tables.setdefault(part, {})
    return tables


def _check_keys(
    written: dict[str, Any], kind: type[BaseModel], file: Path, table: str = ""
) -> None:
    for name, value in written.items():
        key = f"{table}.{name}".removeprefix(".")
        field = kind.model_fields.get(name)
        if field is None:
            raise FileError(file, f"{key}: {no_such_key(kind)}")
        if is_table(field.annotation):
            if not isinstance(value, dict):
                raise FileError(file, f"{key}: must be a table, [{key}]")
            _check_keys(value, _kind(field), file, key)


def _check_environment(kind: type[BaseSettings]) -> None:
    """pydantic-settings would read a whole table as JSON, and nobody would see who said it."""
    prefix = kind.model_config.get("env_prefix", "")
    for name, field in kind.model_fields.items():
        if not is_table(field.annotation):
            continue
        variable = f"{prefix}{name}".upper()
        if any(value and said.upper() == variable for said, value in os.environ.items()):
            raise BioelxError(f"{variable}: no setting; each key of [{name}] has a variable")
        _check_environment(_kind(field))


def _in_environment(setting: Setting) -> Any:
    """What pydantic-settings finds there; None: nothing, as where a variable is empty."""
    environment = EnvSettingsSource(setting.owner, env_ignore_empty=True)
    value, _, is_complex = environment.get_field_value(setting.field, setting.name)
    try:
        return environment.prepare_field_value(setting.name, setting.field, value, is_complex)
    except ValueError as error:
        raise BioelxError(f"{setting.variable}: not JSON ({error})") from None


def _from_folder(value: Any, field: FieldInfo, folder: Path) -> Any:
    """Paths as they are meant from a folder; any other value as it stands."""
    if isinstance(value, list | tuple):
        return [_from_folder(each, field, folder) for each in value]
    if not isinstance(value, str | Path) or not value:
        return value
    if Path in (field.annotation, *get_args(field.annotation)):
        return folder / Path(value).expanduser()
    if MAY_BE_FOLDER in field.metadata and (path := folder / Path(value).expanduser()).is_dir():
        return str(path)
    return value


def _refused(
    error: ValidationError, kind: type[BaseSettings], origins: Mapping[str, str], file: Path | None
) -> BioelxError:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    by_key = {setting.key: setting for setting in settings_in(kind)}
    for end in range(len(first["loc"]), 0, -1):
        key = ".".join(map(str, first["loc"][:end]))
        if key in by_key:
            break
    else:  # several that do not fit together
        return BioelxError(message)
    setting, origin = by_key[key], origins.get(key, "")
    if file and origin.startswith("file"):
        return FileError(file, f"{key}: {message}")
    if origin.startswith("environment"):
        return BioelxError(f"{setting.variable}: {message}")
    return BioelxError(f"{setting.flag} (or {setting.variable}): {message}")
