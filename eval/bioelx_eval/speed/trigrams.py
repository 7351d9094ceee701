"""scispaCy's way (Neumann et al., BioNLP 2019): character 3-grams weighed by TF-IDF.

python trigrams.py NAMES.json: a JSON list of mentions a line in, and for each of them the row of
the nearest name out (-1: no 3-gram in common with any). scispaCy asks nmslib, an approximate index;
here every name is compared, as a product of sparse matrices: slower than that, and exact.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

names = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
# scispaCy's settings; of few names none would have a 3-gram that ten share.
rarest = 10 if len(names) > 10_000 else 1
vectorizer = TfidfVectorizer(
    analyzer="char_wb", ngram_range=(3, 3), min_df=rarest, dtype=np.float32
)
grams = vectorizer.fit_transform(names).T.tocsr()  # float32 [3-grams, names], unit columns

print("{}", flush=True)  # ready
for line in sys.stdin:
    mentions = json.loads(line)
    started = perf_counter()
    queries = vectorizer.transform(mentions)
    encoded = perf_counter()
    scores = queries @ grams
    best = np.ravel(scores.max(axis=1).todense())
    nearest = np.where(best > 0, np.ravel(scores.argmax(axis=1)), -1)
    times = {"encoding": encoded - started, "searching": perf_counter() - encoded}
    print(json.dumps({**times, "seconds": sum(times.values()), "names": nearest.tolist()}))
    sys.stdout.flush()
