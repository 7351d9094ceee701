"""The lines of the table, as a TOML file says them.

[common]                       # of every training
steps = 200

[[line]]
title = "all names"
settings = { balance = 1 }     # a training, over those in common

[[line]]
title = "untrained"
encoder = "models/e5"          # an encoder that is there
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bioelx.errors import FileError
from bioelx.toml_file import FilePath, fault, read_file
from bioelx_index.train.settings import ENCODER, MODEL, TrainSettings

SAME = ("base", "steps", "batch", "seed", "held_out", "longest", "export")
"""Settings in which trainings must not differ, or a table of them says nothing."""


class Line(BaseModel):
    """One line: what is asked, and what it is to be compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1, description="As the tables show it.")
    against: str = Field("", description="Title of the line whose score is subtracted from it.")
    settings: Mapping[str, Any] | None = Field(
        None, description="Of a training, over those that all have in common."
    )
    encoder: FilePath | None = Field(
        None, description="Folder with encoder.json, or one of those named in `folders`."
    )
    model: FilePath | None = Field(
        None,
        description="sentence-transformers folder that `encoder` was exported from, to be asked "
        "in its place, in fp32.",
    )
    method: Literal["exact", "trigrams"] | None = Field(
        None,
        description="Equal strings, or TF-IDF of character 3-grams as in scispaCy (Neumann et al. "
        "2019).",
    )
    look_up: bool = Field(
        False, description="A name equal to the mention goes before those that are near to it."
    )

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        said = [each is not None for each in (self.settings, self.encoder, self.method)]
        if sum(said) != 1:
            raise ValueError("give one of settings, encoder and method")
        if self.model and not self.encoder:
            raise ValueError("model needs the encoder that was made of it")
        return self


class Lines(BaseModel):
    """A file of lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folders: Mapping[str, FilePath] = Field(
        default={},
        description="Names for folders of encoders, to stand for them in lines and as `teacher`: "
        "the command line may give others.",
    )
    common: Mapping[str, Any] = Field(default={}, description="Settings of all trainings.")
    line: tuple[Line, ...] = Field(min_length=1, description="The lines, in their order.")


@dataclass(frozen=True)
class Table:
    """Lines that belong in one table."""

    common: TrainSettings
    """Of all trainings, and of the names that are held out."""
    lines: tuple[Line, ...]
    trainings: Mapping[str, TrainSettings]
    """By title, the whole settings of the lines that are trained."""


def read_table(
    file: Path,
    given: Mapping[str, Any],
    folders: Mapping[str, Path],
    finished: Path | None = None,
) -> Table:
    """The table that a file says.

    Args:
        given: settings in common that go before the file's; paths in them are absolute.
        folders: by name, absolute; they go before the file's.
        finished: folder of a finished training, which makes three more lines.

    Raises:
        FileError: the file is not TOML, a key in it does not exist or fit, or its lines do not
            belong in one table; the key or the line is named.
    """
    said = read_file(file, Lines)
    if unknown := sorted(set(folders) - set(said.folders)):
        raise FileError(file, f"names no folder {', '.join(unknown)}")
    named = {key: path.absolute() for key, path in {**said.folders, **folders}.items()}
    lines = [_with_encoder(each, named, file.parent) for each in said.line]
    lines += lines_of(finished) if finished else ()
    titles = [line.title for line in lines]
    for number, line in enumerate(lines):
        if line.title in titles[:number]:
            raise FileError(file, f"two lines have the title {line.title!r}")
        if line.against and line.against not in titles[:number]:
            raise FileError(file, f"{line.title}: no line above it is {line.against!r}")
    common = {**said.common, **given}
    trainings = {
        line.title: _settings(file, line.title, common, _with_teacher(line.settings, named))
        for line in lines
        if line.settings is not None
    }
    return Table(_settings(file, "common", common, {}), tuple(lines), trainings)


def lines_of(training: Path) -> tuple[Line, ...]:
    """A finished training's model in fp32, what was exported of it, and that with look-up."""
    model, exported = "trained longest, fp32", "trained longest, int8"
    folder = training / ENCODER
    return (
        Line(title=model, encoder=folder, model=training / MODEL),
        Line(title=exported, encoder=folder, against=model),
        Line(title=f"{exported}, look-up", encoder=folder, against=exported, look_up=True),
    )


def _with_encoder(line: Line, named: Mapping[str, Path], folder: Path) -> Line:
    at = {folder / name: path for name, path in named.items()}  # as the line has read a name
    found = at.get(line.encoder) if line.encoder else None
    return line.model_copy(update={"encoder": found}) if found else line


def _with_teacher(own: Mapping[str, Any], named: Mapping[str, Path]) -> Mapping[str, Any]:
    found = named.get(str(own.get("teacher")))
    return {**own, "teacher": found} if found else own


def _settings(
    file: Path, title: str, common: Mapping[str, Any], own: Mapping[str, Any]
) -> TrainSettings:
    if changed := sorted(set(own) & set(SAME)):
        raise FileError(file, f"{title}: {', '.join(changed)} has to be the same in all lines")
    try:
        settings = TrainSettings.model_validate(
            {**common, **own}, context={"folder": file.parent.absolute()}
        )
    except ValidationError as error:
        raise FileError(file, f"{title}: {fault(error, TrainSettings)}") from None
    if own.get("titles_share") and settings.titles is None:
        raise FileError(file, f"{title}: which titles? Give --set titles=FILE")
    return settings
