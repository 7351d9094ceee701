"""Where things are, and what a server is allowed to do.

Every setting has an environment variable of the same name in capitals with the prefix BIOELX_
(BIOELX_INDEX_ for those of the index); a command-line option overrides it. Those of a server can
stand in a file too: `bioelx.config` makes flag, variable and key of one definition here.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bioelx.errors import BioelxError, FileError

S = TypeVar("S", bound=BaseSettings)

CHECKOUT = Path(__file__).resolve().parent.parent
SHIPPED_ENCODER = "models/bioelx-e5-small-int8"


def home() -> Path:
    """The folder that holds `models/`, `data/` and `releases/`.

    `BIOELX_HOME` if set, else the checkout this package runs from, else the user's data folder.
    """
    if configured := os.environ.get("BIOELX_HOME"):
        return Path(configured).expanduser()
    if (CHECKOUT / "pyproject.toml").is_file():
        return CHECKOUT
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "bioelx"


def releases_dir() -> Path:
    return home() / "releases"


def require(path: Path, where_from: str) -> Path:
    """Returns `path` if it exists.

    Raises:
        FileError: it does not; the message says where to get it.
    """
    if not path.exists():
        raise FileError(path, f"not found; {where_from}")
    return path


def shipped(part: str) -> Path:
    """A file or folder that the repository ships (`models/...`, `data/...`).

    Raises:
        FileError: it is not under `home()`.
    """
    return require(
        home() / part,
        "the wheel holds no models or data: set BIOELX_HOME to a checkout of the BioELX "
        "repository, or copy its models/ and data/ folders there",
    )


class Limits(BaseSettings):
    """What one request may ask; `Info` states these to callers."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_", frozen=True)

    max_documents: int = Field(256, ge=1, description="documents in a request")
    max_mentions: int = Field(4096, ge=1, description="mentions in a request")
    max_document_chars: int = Field(100_000, ge=1, description="code points in a document")
    max_mention_chars: int = Field(1_000, ge=1, description="code points in a mention")
    max_top_k: int = Field(100, ge=1, description="candidates for a mention")
    default_top_k: int = Field(10, ge=1, description="candidates if a request names no number")
    max_message_bytes: int = Field(16 * 2**20, ge=1024, description="bytes of a gRPC message")

    @field_validator("default_top_k")
    @classmethod
    def _is_allowed(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("max_top_k", value):
            raise ValueError("is more than max_top_k")
        return value


class SearchSettings(BaseSettings):
    """How the index of a release is searched, and on what."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_INDEX_", frozen=True)

    ef_search: int = Field(
        192, ge=1, description="HNSW: neighbours weighed in a search, where the release says none"
    )
    nprobe: int = Field(
        64, ge=1, le=2048, description="IVF: lists read in a search, where the release says none"
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="where to search; auto: on a GPU if FAISS sees one"
    )
    gpu_gigabytes: float = Field(
        8.0, gt=0, description="GPU memory for the vectors of one release; past it: IVF"
    )


class IndexSettings(SearchSettings):
    """Which index a build makes, how it is searched, and on what.

    docs/index.md has the measurements behind the defaults.
    """

    factory: str = Field("", description="FAISS factory string; empty: by size and device")
    exact_up_to: int = Field(
        250_000, ge=0, description="distinct names up to which a CPU compares every one"
    )
    ef_construction: int = Field(80, ge=1, description="HNSW: neighbours weighed for a new vector")
    min_recall: float = Field(
        0.95, ge=0, le=1, description="recall@10 and @50 below which a build fails"
    )


class ServerSettings(BaseSettings):
    """How a server runs."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_", frozen=True)

    home: Path | None = Field(
        None,
        description="folder of models/, data/ and releases/; default: the checkout that runs, else "
        "the user's data folder",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(50051, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    release: str = Field(
        "",
        description="release id or folder, for good; empty: the active one, and whichever becomes "
        "active later",
    )
    admin: bool = Field(
        False, description="let callers switch releases (ReleaseAdmin); on a loopback address only"
    )
    keep_loaded: int = Field(
        0, ge=0, description="previous releases held in memory, for requests pinned to them"
    )
    threads: int = Field(0, ge=0, description="threads for models and search; 0: all cores")
    ranker: str = Field("", description="folder or hub id of a reranker; empty: retrieval only")
    ranker_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the reranker's weights; auto: bfloat16 on a GPU, float32 on a CPU"
    )
    batch_mentions: int = Field(64, ge=1, description="mentions encoded and searched together")
    queue_mentions: int = Field(16_384, ge=1, description="mentions waiting before overload")
    grace_seconds: float = Field(20.0, ge=0, description="time for running calls at shutdown")
    limits: Limits = Field(default_factory=Limits)
    index: SearchSettings = Field(default_factory=SearchSettings)

    @field_validator("admin")
    @classmethod
    def _is_safe(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not is_loopback(info.data.get("host", "")):
            raise ValueError(
                "whoever reaches the server could switch its release: only with a loopback --host, "
                "such as 127.0.0.1"
            )
        if value and info.data.get("release"):
            raise ValueError("a server of one --release does not switch: leave one of them out")
        return value


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GateSettings(BaseSettings):
    """What a release must show before it becomes the active one."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_", frozen=True)

    gate_margin: float = Field(
        0.02, ge=0, le=1, description="share of mentions by which it may be worse than its parent"
    )
    gate_max_gone: float = Field(
        0.1, ge=0, le=1, description="share of the mentions whose concept may be gone from it"
    )
    gate_rows: Path | None = Field(
        None, description="file of mentions, in place of data/regression.jsonl"
    )


def read_settings(kind: type[S], **given: Any) -> S:
    """Settings as they are given, the others from the environment.

    Raises:
        BioelxError: a value is refused; naming its option and its variable.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        variable = f"{kind.model_config.get('env_prefix', '')}{first['loc'][0]}".upper()
        option = "--" + variable.removeprefix("BIOELX_").lower().replace("_", "-")
        raise BioelxError(f"{option} (or {variable}): {first['msg']}") from None
