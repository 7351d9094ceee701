"""The encoder that the repository ships: its size, and what its vectors promise."""

import numpy as np
import pytest

from bioelx.encoding import Encoder, open_encoder
from bioelx.encoding.encoder import read_held_out
from bioelx.kb import normalise
from bioelx.settings import CHECKOUT, SHIPPED_ENCODER, shipped
from bioelx_index.train.settings import TrainSettings, read_settings

FOLDER = shipped(SHIPPED_ENCODER)
# The same six concepts in English and in another language each, from short to long.
ENGLISH = [
    "fever",
    "lung cancer",
    "high blood pressure",
    "type 2 diabetes mellitus",
    "inflammation of the liver caused by a virus",
    "weakness of one side of the body after a stroke",
]
OTHERS = [
    "发热",
    "lungenkrebs",
    "артериальная гипертензия",
    "diabetes mellitus tipo 2",
    "ไวรัสตับอักเสบ",
    "aivohalvauksen jälkeinen toispuolihalvaus",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder(FOLDER, threads=2)


def test_the_folder_keeps_to_its_size():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 50_000_000
    assert {"README.md", "LICENSE"} <= {file.name for file in FOLDER.iterdir()}


def test_a_vector_does_not_depend_on_the_batch(encoder):
    texts = [*ENGLISH, *OTHERS]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    ids = [e.ids for e in encoder._tokenizer.encode_batch([encoder.card.prefix + t for t in texts])]
    for vectors in (encoder.encode(texts), encoder._run(ids), encoder._run(ids[::-1])[::-1]):
        np.testing.assert_allclose(vectors @ vectors.T, alone @ alone.T, atol=1e-5)


def test_a_concept_is_nearest_to_its_own_name_in_another_language(encoder):
    scores = encoder.encode(ENGLISH) @ encoder.encode(OTHERS).T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_settings_that_it_was_trained_with_are_its_cards(encoder):
    settings = read_settings(CHECKOUT / "docs" / "training.toml", (), TrainSettings)
    card = encoder.card
    assert (settings.name, settings.origin, settings.prefix) == (card.name, card.base, card.prefix)


def test_it_says_which_names_it_was_never_told():
    names = read_held_out(FOLDER)
    assert len(names) > 1900
    assert names == sorted({normalise(name) for name in names})
