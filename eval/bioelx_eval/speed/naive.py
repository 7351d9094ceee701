"""What a user would write in an afternoon: sentence-transformers in torch, and FAISS beside it.

python naive.py MODEL NAMES.json VECTORS.npy PREFIX: a JSON list of mentions a line in, and for
each of them the row of the nearest name out. VECTORS are encoded and kept where there are none.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import faiss
import numpy as np
from sentence_transformers import SentenceTransformer

folder, names_file, vectors_file, prefix = sys.argv[1:]
model = SentenceTransformer(folder, device="cpu")


def encode(texts: list[str], **options: bool) -> np.ndarray:
    texts = [prefix + text.lower() for text in texts]
    return model.encode(texts, batch_size=32, normalize_embeddings=True, prompt="", **options)


if not Path(vectors_file).exists():
    names = json.loads(Path(names_file).read_text(encoding="utf-8"))
    with Path(f"{vectors_file}.part").open("wb") as file:
        np.save(file, encode(names, show_progress_bar=True))
    Path(f"{vectors_file}.part").rename(vectors_file)
vectors = np.load(vectors_file)
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)

print("{}", flush=True)  # ready
for line in sys.stdin:
    mentions = json.loads(line)
    started = perf_counter()
    queries = encode(mentions, show_progress_bar=False)
    encoded = perf_counter()
    _, rows = index.search(queries, 10)
    times = {"encoding": encoded - started, "searching": perf_counter() - encoded}
    print(json.dumps({**times, "seconds": sum(times.values()), "names": rows[:, 0].tolist()}))
    sys.stdout.flush()
