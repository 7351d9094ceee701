"""The one normal form of names."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.kb import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Myocardial\tInfarction \n", "myocardial infarction"),
        ("KALP KRİZİ", "kalp krizi"),
        ("Straße", "strasse"),
        ("Crohn’s disease", "crohn's disease"),
        ("non–small‑cell", "non-small-cell"),
        ("ＣＯＶＩＤ－１９", "covid-19"),
        ("심근\u200b경색", "심근경색"),
        ("Mor\u00adbus", "morbus"),
        ("cafe\u0301", "café"),
        ("\u200b\u200e", ""),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
def test_idempotent(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(st.text())
def test_canonically_equal_texts_agree(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(
        unicodedata.normalize("NFC", text)
    )


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_short_way_for_ascii_agrees_with_the_long_one(text: str) -> None:
    # A letter beyond ASCII forces the long way and is taken off again.
    assert normalise(text + " é").removesuffix("é").strip() == normalise(text)
