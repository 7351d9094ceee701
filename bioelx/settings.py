"""Where things are, and what a server is allowed to do.

Every setting has an environment variable of the same name in capitals with the prefix BIOELX_
(BIOELX_INDEX_ for those of the index), which says nothing if it is empty; a command-line option
overrides it. Those of a server can stand in a file too: `bioelx.config` makes flag, variable and
key of one definition here.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bioelx.errors import BioelxError, FileError

S = TypeVar("S", bound=BaseSettings)

LoggedCalls = Literal["all", "errors", "none"]
MAY_BE_FOLDER = "may be a folder"
FolderOrId = Annotated[str, MAY_BE_FOLDER]
"""A folder if there is one of that name, else an id of something kept elsewhere."""

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
    """What one request may ask, and how much may wait; `Info` states these to callers."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_", env_ignore_empty=True, frozen=True)

    max_documents: int = Field(256, ge=1, description="documents in a request")
    max_mentions: int = Field(4096, ge=1, description="mentions in a request")
    max_document_chars: int = Field(100_000, ge=1, description="code points in a document")
    max_mention_chars: int = Field(1_000, ge=1, description="code points in a mention")
    max_top_k: int = Field(100, ge=1, description="candidates for a mention")
    default_top_k: int = Field(10, ge=1, description="candidates if a request names no number")
    max_message_bytes: int = Field(16 * 2**20, ge=1024, description="bytes of a gRPC message")
    batch_tokens: int = Field(512, ge=1, description="tokens of the encoder in a batch")
    queue_tokens: int = Field(
        65_536, ge=1, description="tokens taken on and not yet answered before overload"
    )
    queue_seconds: float = Field(
        1.2, gt=0, description="time in which what is taken on can be answered, before overload"
    )

    @field_validator("default_top_k")
    @classmethod
    def _is_allowed(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("max_top_k", value):
            raise ValueError("is more than max_top_k")
        return value


class SearchSettings(BaseSettings):
    """How the index of a release is searched, and on what."""

    model_config = SettingsConfigDict(
        env_prefix="BIOELX_INDEX_", env_ignore_empty=True, frozen=True
    )

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

    model_config = SettingsConfigDict(env_prefix="BIOELX_", env_ignore_empty=True, frozen=True)

    home: Path | None = Field(
        None,
        description="folder of models/, data/ and releases/; default: the checkout that runs, else "
        "the user's data folder",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(50051, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    release: FolderOrId = Field(
        "",
        description="release id or folder, for good; empty: the active one, and whichever becomes "
        "active later",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file: the server's certificate chain; read again when it changes"
    )
    tls_key: Path | None = Field(
        None, description="PEM file: the key of that certificate", validate_default=True
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file: authorities, one of which must have signed a client's "
        "certificate (mutual TLS)",
    )
    tokens: Path | None = Field(
        None,
        description="file of callers (bioelx token), who must show a token or certificate; "
        "read again when it changes",
    )
    insecure_without_tls_and_authentication: bool = Field(
        False,
        description="listen beyond this machine although TLS, authentication or both are missing",
        validate_default=True,
    )
    admin: bool = Field(
        False,
        description="without authentication, let everybody on this machine switch releases "
        "(ReleaseAdmin); with --tokens, callers of the role admin may, said or not",
    )
    keep_loaded: int = Field(
        0, ge=0, description="previous releases held in memory, for requests pinned to them"
    )
    threads: int = Field(0, ge=0, description="threads for models and search; 0: all cores")
    ranker: FolderOrId = Field(
        "", description="folder or hub id of a reranker; empty: retrieval only"
    )
    ranker_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the reranker's weights; auto: bfloat16 on a GPU, float32 on a CPU"
    )
    cache_bytes: int = Field(
        256 * 2**20, ge=0, description="memory for answers found before, a release; 0: no cache"
    )
    grace_seconds: float = Field(20.0, ge=0, description="time for running calls at shutdown")
    metrics_address: str = Field(
        "", description="host:port that answers Prometheus over HTTP; empty: none"
    )
    health_address: str = Field(
        "",
        description="host:port that answers gRPC health checks and nothing else, without "
        "encryption; empty: none",
    )
    stuck_seconds: float = Field(
        300.0,
        ge=0,
        description="time for one batch of mentions before the server counts as not live; "
        "0: any time",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level of the lines that are logged"
    )
    log_calls: LoggedCalls = Field(
        "all", description="calls that are logged; errors: those that did not end well"
    )
    limits: Limits = Field(default_factory=Limits)
    index: SearchSettings = Field(default_factory=SearchSettings)

    @property
    def authenticates(self) -> bool:
        """Whether callers must show who they are."""
        return self.tokens is not None or self.tls_client_ca is not None

    @property
    def offers_admin(self) -> bool:
        """Whether there is a ReleaseAdmin to call."""
        return not self.release and (self.admin or self.tokens is not None)

    @field_validator("tls_key")
    @classmethod
    def _is_of_a_pair(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if bool(value) != bool(info.data.get("tls_certificate")):
            raise ValueError("--tls-certificate and --tls-key need each other")
        return value

    @field_validator("tls_client_ca")
    @classmethod
    def _has_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and not info.data.get("tls_certificate"):
            raise ValueError("needs --tls-certificate and --tls-key")
        return value

    @field_validator("insecure_without_tls_and_authentication")
    @classmethod
    def _is_said(cls, value: bool, info: ValidationInfo) -> bool:
        given = info.data
        host = given.get("host", "")
        known = given.get("tokens") or given.get("tls_client_ca")
        if value or is_loopback(host) or (given.get("tls_certificate") and known):
            return value
        raise ValueError(
            f"{host} can be reached from other machines, which takes --tls-certificate and "
            "--tls-key, and --tokens or --tls-client-ca. Only this option does without: patients' "
            "words then travel unencrypted, or anybody may call"
        )

    @field_validator("metrics_address", "health_address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            host_and_port(value)
        return value

    @field_validator("admin")
    @classmethod
    def _is_safe(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("tokens"):
            if info.data.get("tls_client_ca"):
                raise ValueError("nobody could have the role admin: only --tokens gives it")
            if not is_loopback(info.data.get("host", "")):
                raise ValueError(
                    "whoever reaches the server could switch its release: only with --tokens, or "
                    "with a loopback --host, such as 127.0.0.1"
                )
        if value and info.data.get("release"):
            raise ValueError("a server of one --release does not switch: leave one of them out")
        return value


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `host:port` or `[IPv6 address]:port`.

    Raises:
        ValueError: it is neither.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", address)
    if not found or int(found[3]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:9090 or [::1]:9090")
    return found[1] or found[2], int(found[3])


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GateSettings(BaseSettings):
    """What a release must show before it becomes the active one."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_", env_ignore_empty=True, frozen=True)

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
