"""What stands beside a ranker's model in its folder: its card, and when `auto` asks it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from bioelx.cards import read_stamped
from bioelx.disk import write_whole
from bioelx.errors import FileError

CARD_FILE = "ranker.json"
SCHEMA = 1

AUTO_FILE = "auto.json"
AUTO_SCHEMA = 1
UNMEASURED = 0.9
"""Where `auto` asks a ranker of which nobody has measured where it helps."""


@dataclass(frozen=True, slots=True)
class RankerCard:
    """What `ranker.json` says of a cross-encoder."""

    name: str
    base: str
    window_tokens: int
    candidate_tokens: int


_FIELDS = {"name": str, "base": str, "window_tokens": int, "candidate_tokens": int}


def read_card(folder: Path) -> RankerCard:
    """Reads and checks a cross-encoder's card against the files beside it.

    Raises:
        FileError: a file is missing, or differs from what the card says of it.
    """
    card, _ = read_stamped(folder / CARD_FILE, SCHEMA, _FIELDS, "a cross-encoder")
    return RankerCard(**card)


@dataclass(frozen=True, slots=True)
class AutoThreshold:
    """Where `rerank=auto` asks a ranker, and what that was chosen by."""

    below: float
    """Asked where retrieval's confidence in its first candidate is lower; 0 means never."""
    dataset: str
    """What it was chosen on; never a test set."""
    release: str
    """What linked it."""
    calls: float
    """Share of the mentions that are read."""
    kept: float
    """Share of the gain of reading all of them."""


def write_auto(threshold: AutoThreshold, folder: Path) -> None:
    """Writes `auto.json` into a ranker's folder; it appears when it is whole."""
    said = {"schema": AUTO_SCHEMA, **asdict(threshold)}
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    write_whole(orjson.dumps(said, option=options), folder / AUTO_FILE)


def read_below(model: str) -> float:
    """Below which of retrieval's confidences `auto` asks the ranker in this folder; `UNMEASURED`
    where it does not say, as of every model on a hub.

    Raises:
        FileError: `auto.json` is there and not readable, or no probability stands in it.
    """
    path = Path(model) / AUTO_FILE
    try:
        raw = orjson.loads(path.read_bytes())
        if raw["schema"] != AUTO_SCHEMA:
            raise FileError(path, f"schema {raw['schema']}, this version reads {AUTO_SCHEMA}")
        below = float(raw["below"])
        if not 0 <= below <= 1:
            raise ValueError(f"below is {below}, no probability")
    except (FileNotFoundError, NotADirectoryError):
        return UNMEASURED
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise FileError(path, f"does not say when to ask the ranker ({error!r})") from None
    return below
