"""The settings of a build: one model, which a file in TOML is checked against and explained by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from bioelx.errors import BioelxError
from bioelx.settings import GateSettings, IndexSettings
from bioelx.settings import read_settings as settings_of
from bioelx.toml_file import FilePath, fault, read_file
from bioelx_eval.datasets import DATASETS
from bioelx_index.sources.options import TypeName
from bioelx_index.train.settings import TrainSettings


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WikidataSettings(_Table):
    """Where Wikidata comes from; with neither a pull nor an endpoint, from the slice in `data`."""

    pull: FilePath | None = Field(
        None,
        description="Folder of a finished 'bioelx pull wikidata'.",
        examples=["pulls/wikidata-sparql"],
    )
    endpoint: str = Field(
        "",
        description="SPARQL endpoint: 'build' pulls all that belongs from it, 'update' what "
        "changed since the pull that the active release was built from.",
    )
    user_agent: str = Field(
        "",
        description="Who you are, for all endpoints but your own: 'Name/1.0 (mail or web "
        "address)'. The variable BIOELX_USER_AGENT says it too.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> WikidataSettings:
        if self.pull and self.endpoint:
            raise ValueError("pull and endpoint: Wikidata comes from one of the two")
        return self


class SelectSettings(_Table):
    """Which part of the merged concepts the release holds; by default all."""

    names: int | None = Field(
        None,
        ge=1,
        description="Take only the most widely named concepts, up to so many names.",
        examples=[100_000],
    )
    types: tuple[TypeName, ...] = Field((), description="Take only concepts of these types.")


class EncoderSettings(_Table):
    """What makes vectors of names. An update keeps the encoder of the release before."""

    folder: FilePath | None = Field(
        None,
        description="Folder with encoder.json. By default the shipped encoder.",
        examples=["models/bioelx-e5-small-int8"],
    )
    train: bool = Field(
        False,
        description="Train an encoder on the names of the release, in place of one that is there. "
        "It needs the extra [train].",
    )
    training: TrainSettings = TrainSettings()

    @model_validator(mode="after")
    def _is_one(self) -> EncoderSettings:
        if self.train and self.folder:
            raise ValueError("folder and train: the encoder is either there or trained")
        return self


def _is_suite(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"{name!r} is none of {', '.join(DATASETS)}")
    return name


class EvaluateSettings(_Table):
    """What the finished release is measured on before it is activated."""

    suites: tuple[Annotated[str, AfterValidator(_is_suite)], ...] = Field(
        (), description=f"Datasets of 'bioelx eval list': {', '.join(DATASETS)}."
    )
    data: FilePath | None = Field(
        None, description="Folder that holds the datasets.", examples=["benchmarks"]
    )

    @model_validator(mode="after")
    def _has_data(self) -> EvaluateSettings:
        if self.suites and not self.data:
            raise ValueError("suites: data must say where the datasets are")
        return self


def _of_gate(name: str) -> str:
    meaning = str(GateSettings.model_fields[f"gate_{name}"].description).capitalize()
    return f"{meaning}. The variable BIOELX_GATE_{name.upper()} says it too."


class GateTable(_Table):
    """What a release must show before it becomes the active one."""

    margin: float | None = Field(None, ge=0, le=1, description=_of_gate("margin"), examples=[0.02])
    max_gone: float | None = Field(
        None, ge=0, le=1, description=_of_gate("max_gone"), examples=[0.1]
    )
    rows: FilePath | None = Field(
        None, description=_of_gate("rows"), examples=["data/regression.jsonl"]
    )

    def settings(self) -> GateSettings:
        """With what the environment says where this does not."""
        return settings_of(
            GateSettings, **{f"gate_{k}": v for k, v in self.model_dump(exclude_none=True).items()}
        )


class BuildSettings(_Table):
    """The settings of 'bioelx build' and 'bioelx update'. Paths are meant from the file's own
    folder."""

    data: FilePath | None = Field(
        None,
        description="Folder with sources.toml, which names each source, its files and its options. "
        "By default the shipped snapshot.",
        examples=["data"],
    )
    umls: FilePath | None = Field(
        None,
        description="Folder with your own UMLS: MRCONSO.RRF and MRSTY.RRF, and, if there, "
        "MRDEF.RRF, MRCUI.RRF and MRFILES.RRF; plain or .gz, whole or in parts.",
        examples=["umls/2026AA/META"],
    )
    dictionary: FilePath | None = Field(
        None,
        description="File of `CUI||name` lines, plain or .gz: the whole knowledge base, in place "
        "of 'data'. The release is not activated (docs/paper-protocol.md).",
        examples=["umls_onto_all_lang.txt"],
    )
    wikidata: WikidataSettings = WikidataSettings()
    select: SelectSettings = SelectSettings()
    encoder: EncoderSettings = EncoderSettings()
    index: IndexSettings = Field(default_factory=lambda: settings_of(IndexSettings))
    evaluate: EvaluateSettings = EvaluateSettings()
    gate: GateTable = GateTable()

    @model_validator(mode="after")
    def _is_one(self) -> BuildSettings:
        if self.dictionary and (self.data or self.wikidata.pull or self.wikidata.endpoint):
            raise ValueError(
                "dictionary takes the place of data, wikidata.pull and wikidata.endpoint: "
                "give one of them"
            )
        return self


def read_settings(file: Path | None, overrides: Mapping[str, Any] | None = None) -> BuildSettings:
    """The settings of a file (or the usual ones), with some keys given otherwise.

    Args:
        overrides: values by key with dots (`wikidata.endpoint`); paths among them are meant from
            the working folder.

    Raises:
        FileError: the file is not TOML, or a key in it does not exist or fit; the key is named.
        BioelxError: an override does not fit, or not to what the file says.
    """
    given = read_file(file, BuildSettings).model_dump(exclude_unset=True) if file else {}
    for key, value in (overrides or {}).items():
        *tables, last = key.split(".")
        table = given
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    try:
        return BuildSettings.model_validate(given)
    except ValidationError as error:
        raise BioelxError(fault(error, BuildSettings)) from None
