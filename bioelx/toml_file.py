"""Files of settings in TOML: read, checked and explained from one pydantic model."""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from bioelx.errors import FileError

_WIDTH = 88

M = TypeVar("M", bound=BaseModel)


def _from_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return folder / path.expanduser()


FilePath = Annotated[Path, AfterValidator(_from_the_file)]
"""A path that is meant from the folder of the file that says it, else from the working folder."""


def read_file(file: Path, model: type[M]) -> M:
    """The settings that a file says, the others at their defaults.

    Raises:
        FileError: the file is not TOML, or a key in it does not exist or fit; the key is named.
    """
    written = read_tables(file)
    try:
        return model.model_validate(written, context={"folder": file.parent})
    except ValidationError as error:
        raise FileError(file, fault(error, model)) from None


def read_tables(file: Path) -> dict[str, Any]:
    """What stands in a file, unchecked.

    Raises:
        FileError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(file, "no such file") from None
    except OSError as error:
        raise FileError(file, f"cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(file, f"not TOML ({error})") from None


def fault(error: ValidationError, model: type[BaseModel]) -> str:
    """The fault that tells most about some settings: ``select.names: Input should be ...``.

    A key that does not exist comes first: it may be another one, misspelt, that seems missing.
    """
    faults = error.errors(include_url=False)
    first = min(faults, key=lambda each: each["type"] != "extra_forbidden")
    key, message = _written(first["loc"]), first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = no_such_key(_table_at(model, first["loc"][:-1]))
    return f"{key}: {message}" if key else message


def no_such_key(table: type[BaseModel]) -> str:
    return f"no such key; there are {', '.join(table.model_fields)}"


def is_table(annotation: Any) -> bool:
    """Whether a field of this type is a table of the file."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _written(place: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def _table_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    found: Any = model
    for name in place:
        # The tables of a list are all of one kind.
        of_list = isinstance(name, int)
        found = get_args(found)[0] if of_list else found.model_fields[name].annotation
    return found


Told = tuple[Any, str]
"""What stands in a file for a key, and a remark beside it."""


def _default(key: str, field: FieldInfo) -> Told:
    return field.get_default(call_default_factory=True), ""


def explain(
    model: type[BaseModel], table: str = "", tell: Callable[[str, FieldInfo], Told] = _default
) -> str:
    """Every key with its meaning and its default, as a file that changes nothing. A key that has
    no default stands there as a comment, with an example.

    Args:
        tell: what else to write for a key, which is given with its tables (`limits.max_top_k`).
    """
    return "\n".join(_explained(model, table, tell)) + "\n"


def _explained(
    model: type[BaseModel], table: str, tell: Callable[[str, FieldInfo], Told]
) -> Iterator[str]:
    yield from _comment(model.__doc__ or "")
    if table:
        yield f"[{table}]"
    tables: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if is_table(field.annotation):
            tables[name] = field.annotation
            continue
        yield ""
        yield from _comment(field.description or "")
        value, remark = tell(f"{table}.{name}".removeprefix("."), field)
        yield _key(name, field, value) + (f"  # {remark}" if remark else "")
    for name, inner in tables.items():
        yield ""
        yield from _explained(inner, f"{table}.{name}".removeprefix("."), tell)


def _key(name: str, field: FieldInfo, value: Any) -> str:
    if value is None:
        return f"# {name} = {_toml((field.examples or [''])[0])}"
    return f"{name} = {_toml(value)}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)]


def _toml(value: Any) -> str:
    return json.dumps(
        value, default=str, ensure_ascii=False
    )  # what TOML calls a string, a list, a boolean is that
