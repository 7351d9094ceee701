"""Cut a Hugging Face folder's unigram vocabulary to the pieces that given texts need.

A multilingual model is mostly its table of pieces (96 of the 118 million weights of
multilingual-e5-small), and names of diseases and drugs use a third of them. Kept are the special
tokens, every piece of one character, so that no script is lost, and the pieces that most texts use.
The rest of the model is left as it is, so a text of kept pieces gives the same vector as before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import typer
from rich.progress import Progress
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from bioelx.errors import BioelxError, FileError
from bioelx.kb.normalise import normalise

CHUNK = 20_000  # texts tokenised at a time
TABLE = "embeddings.word_embeddings.weight"

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Cut:
    """What a cut kept, in pieces, and what it changed, in texts."""

    pieces_before: int
    pieces_used: int
    pieces_after: int
    texts: int
    texts_changed: int


def cut(model: Path, texts: Iterable[str], size: int, out: Path) -> Cut:
    """Write `model` (a Hugging Face folder) to `out` with `size` pieces, chosen by use in `texts`.

    `out` gets fp32 model.safetensors, tokenizer.json, config.json and copies of the other files.
    Raises FileError for a file of `model` that is missing or of another kind, and BioelxError if
    `size` has no room for the pieces that are always kept.
    """
    definition = _read_json(model / "tokenizer.json")
    if definition["model"].get("type") != "Unigram":
        raise FileError(model / "tokenizer.json", "only a Unigram vocabulary can be cut")
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    tokenizer.no_truncation()

    vocabulary = definition["model"]["vocab"]
    counts = np.zeros(len(vocabulary), np.int64)
    chunks: list[tuple[Ids, Ids]] = []
    for ids, lengths in _tokenise(tokenizer, texts):
        counts += np.bincount(ids, minlength=len(vocabulary))
        chunks.append((ids, lengths))

    always = {token["id"] for token in definition["added_tokens"]}
    always |= {i for i, (piece, _) in enumerate(vocabulary) if len(piece) == 1}
    if size < len(always):
        raise BioelxError(f"size {size}: {len(always)} pieces are always kept")
    ranked = np.lexsort((np.arange(len(counts)), -counts))  # most used first, then the lower id
    chosen = islice((i for i in ranked.tolist() if i not in always), size - len(always))
    kept = np.array(sorted(chain(always, chosen)))

    dropped = np.ones(len(vocabulary), np.bool_)
    dropped[kept] = False
    changed = sum(int(_any_by_text(dropped[ids], lengths).sum()) for ids, lengths in chunks)
    _write(model, definition, kept, out)
    return Cut(
        pieces_before=len(vocabulary),
        pieces_used=int((counts > 0).sum()),
        pieces_after=len(kept),
        texts=sum(len(lengths) for _, lengths in chunks),
        texts_changed=changed,
    )


def _tokenise(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[tuple[Ids, Ids]]:
    """For every chunk of texts, its pieces in one row and the number of pieces of each text."""
    remaining = iter(texts)
    while chunk := list(islice(remaining, CHUNK)):
        encoded = [each.ids for each in tokenizer.encode_batch_fast(chunk)]
        lengths = np.fromiter(map(len, encoded), np.int32, len(encoded))
        yield np.fromiter(chain.from_iterable(encoded), np.int32, lengths.sum()), lengths


def _any_by_text(flags: npt.NDArray[np.bool_], lengths: Ids) -> npt.NDArray[np.bool_]:
    """Whether any piece of each text is flagged; every text has at least its two end markers."""
    return np.logical_or.reduceat(flags, np.concatenate(([0], np.cumsum(lengths)[:-1])))


def _write(model: Path, definition: dict[str, Any], kept: npt.NDArray[np.int64], out: Path) -> None:
    """Write `model` with the pieces `kept` (old ids, ascending) to `out`."""
    new_id = {int(old): new for new, old in enumerate(kept)}
    weights_file = model / "model.safetensors"
    try:
        tensors = load_file(weights_file)
    except (OSError, SafetensorError) as error:
        raise FileError(weights_file, f"cannot be read: {error}") from error
    tables = [name for name in tensors if name.endswith(TABLE)]
    if len(tables) != 1:
        raise FileError(weights_file, f"{len(tables)} tensors end with {TABLE}, not one")
    tensors = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    tensors[tables[0]] = tensors[tables[0]][kept]

    config = _read_json(model / "config.json")
    for key, value in config.items():
        if key.endswith("_token_id") and value in new_id:
            config[key] = new_id[value]
    config |= {"vocab_size": len(kept), "dtype": "float32"}

    unigram = definition["model"]
    unigram["vocab"] = [unigram["vocab"][old] for old in kept]
    unigram["unk_id"] = new_id[unigram["unk_id"]]
    for token in definition["added_tokens"]:
        token["id"] = new_id[token["id"]]
    for special in (definition["post_processor"] or {}).get("special_tokens", {}).values():
        special["ids"] = [new_id[old] for old in special["ids"]]

    # Everything else as it is; of a folder within, its own config.json too.
    ours = {"model.safetensors", "config.json", "tokenizer.json"}
    shutil.copytree(
        model, out, dirs_exist_ok=True,
        ignore=lambda folder, _: ours if Path(folder) == model else (),
    )  # fmt: skip
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    text = json.dumps(definition, ensure_ascii=False, separators=(",", ":"))
    (out / "tokenizer.json").write_text(text, encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read: {error}") from error
    return content


def read_texts(sources: Iterable[str], prefix: str) -> Iterator[str]:
    """The distinct strings of each `FILE.parquet:COLUMN` source, as they will be encoded:
    `prefix`, then the text in BioELX's normal form."""
    for source in sources:
        file, _, column = source.rpartition(":")
        try:
            distinct = pq.read_table(file, columns=[column])[column].unique()
        except (OSError, KeyError, ValueError) as error:
            raise FileError(source, f"is no Parquet file and column: {error}") from error
        yield from (prefix + normalise(text) for text in distinct.to_pylist() if text)


def main(
    model: Annotated[Path, typer.Option(help="Hugging Face folder to cut.")],
    texts: Annotated[
        list[str], typer.Option(help="FILE.parquet:COLUMN of texts; may be repeated.")
    ],
    size: Annotated[int, typer.Option(help="Pieces to keep.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    prefix: Annotated[str, typer.Option(help="Put before every text.")] = "query: ",
) -> None:
    """Cut a model's vocabulary to the pieces that texts need.

    Example: python -m bioelx_index.train.vocabulary --model e5 --texts names.parquet:name
    --texts titles.parquet:title --size 90000 --out e5-cut
    """
    with Progress() as progress:
        task = progress.add_task("Counting pieces", total=None)
        report = cut(
            model, progress.track(read_texts(texts, prefix), task_id=task, total=None), size, out
        )
    typer.echo(
        f"{out}: {report.pieces_after:,} of {report.pieces_before:,} pieces kept "
        f"({report.pieces_used:,} in use); {report.texts_changed:,} of {report.texts:,} texts "
        f"({report.texts_changed / max(report.texts, 1):.2%}) now split differently"
    )


if __name__ == "__main__":
    typer.run(main)
