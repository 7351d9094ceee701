"""Names as people write them: changed, and still theirs."""

import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioelx.kb import normalise
from bioelx_index import perturb as perturb_module
from bioelx_index.perturb import (
    inflect,
    perturb,
    recase,
    reorder,
    respace,
    typo,
    without_diacritics,
)

LANGUAGES = [*perturb_module._INFLECTIONS, "zh", "th", "pt-BR", "und", ""]
ANY_NAME = st.text(max_size=30) | st.lists(
    st.text(st.characters(categories=["L"]), min_size=1, max_size=8), min_size=1, max_size=4
).map(" ".join)
SEEDS = st.integers(0, 2**32)


def letters(name: str) -> list[str]:
    return [char for char in name if char.isalpha()]


@given(name=ANY_NAME, lang=st.sampled_from(LANGUAGES), seed=SEEDS)
@example(name="ı", lang="tr", seed=0)
@example(name="kırık", lang="tr", seed=3)
def test_a_perturbed_name_is_another_one_to_the_linker(name: str, lang: str, seed: int) -> None:
    changed = perturb(name, lang, np.random.default_rng(seed))
    if len(letters(name)) < 2:
        return
    assert normalise(changed)
    assert normalise(changed) != normalise(name)


@given(name=ANY_NAME, lang=st.sampled_from(LANGUAGES), seed=SEEDS)
def test_no_change_takes_everything_and_chance_repeats_itself(
    name: str, lang: str, seed: int
) -> None:
    changes: list[Callable[[np.random.Generator], str]] = [
        lambda rng: typo(name, rng),
        lambda rng: recase(name, rng),
        lambda rng: reorder(name, rng),
        lambda rng: respace(name, lang, rng),
        lambda rng: inflect(name, lang, rng),
        lambda rng: without_diacritics(name),
        lambda rng: perturb(name, lang, rng),
    ]
    for change in changes:
        first, second = (change(np.random.default_rng(seed)) for _ in range(2))
        assert first == second
        assert bool(normalise(first)) == bool(normalise(name))


@given(name=st.text(st.characters(codec="ascii"), max_size=30), seed=SEEDS)
def test_a_typing_error_keeps_the_first_letter_the_digits_and_the_signs(
    name: str, seed: int
) -> None:
    changed = typo(name, np.random.default_rng(seed))
    assert letters(changed)[:1] == letters(name)[:1]
    assert [c for c in changed if c.isdigit()] == [c for c in name if c.isdigit()]
    assert sorted(c for c in changed if not c.isalpha()) == sorted(
        c for c in name if not c.isalpha()
    )
    assert abs(len(changed) - len(name)) <= 1


@pytest.mark.parametrize(
    ("name", "lang", "expected"),
    [
        ("heart failure", "en", {"heartfailure", "heart-failure"}),
        ("심근경색", "ko", {"심근 경색"}),
        ("심근경색", "ja", {"심근경색"}),
        ("2 5", "ko", {"2 5"}),
        ("천식", "ko", {"천식"}),
    ],
)
def test_spaces_otherwise(name: str, lang: str, expected: set[str]) -> None:
    assert all_of(lambda rng: respace(name, lang, rng)) == expected


@pytest.mark.parametrize("name", ["", " ", "5-2", "α", "\u200b"])
def test_what_has_no_typing_error_stays(name: str) -> None:
    assert typo(name, np.random.default_rng(0)) == name


def all_of(change: Callable[[np.random.Generator], str]) -> set[str]:
    """Everything that comes of 200 throws of the dice."""
    return {change(np.random.default_rng(seed)) for seed in range(200)}


@pytest.mark.parametrize(
    ("lang", "name", "expected"),
    [
        ("en", "biopsy", {"biopsies"}),
        ("en", "heart attack", {"heart attacks"}),
        ("de", "Entzündung", {"Entzündungen"}),
        ("de", "Diabetes mellitus", {"Diabetes mellitus"}),
        ("es", "enfermedad crónica del riñón", {"enfermedades crónicas del riñón"}),
        ("es", "lesión", {"lesiones"}),
        ("fr", "souffle au cœur", {"souffles au cœur"}),
        ("it", "malattia di Crohn", {"malattie di Crohn"}),
        ("pt-BR", "infecção viral", {"infecções virais"}),
        ("ru", "сахарный диабет", {"сахарного диабета", "сахарным диабетом"}),
        ("ru", "средний отит", {"среднего отита", "средним отитом"}),
        ("ru", "болезнь Крона", {"болезни Крона", "болезнью Крона"}),
        ("cs", "srdeční selhání", {"srdečním selháním"}),
        ("fi", "astma", {"astman", "astmassa", "astmasta", "astmalla", "astmana"}),
        ("fi", "syöpä", {"syöpän", "syöpässä", "syöpästä", "syöpällä", "syöpänä"}),
        ("fi", "tulehdus", {"tulehduksen", "tulehdusta"}),
        ("hu", "asztma", {"asztmát", "asztmában", "asztmának"}),
        ("hu", "rák", {"rákban", "ráknak", "rákra"}),
        ("tr", "grip", {"gripi", "gripin", "gripte", "gripten", "gripler"}),
        ("tr", "böbrek", {"böbreği", "böbreğin", "böbrekte", "böbrekten", "böbrekler"}),
        ("ko", "천식", {"천식은", "천식이", "천식을", "천식과", "천식의", "천식에"}),
        ("ko", "감기", {"감기는", "감기가", "감기를", "감기와", "감기의", "감기에"}),
        ("ar", "ربو", {"الربو", "بربو", "وربو"}),
        ("zh", "哮喘", {"哮喘"}),
        ("en", "HIV", {"HIV"}),
        ("en", "vitamin B12", {"vitamin B12"}),
    ],
)
def test_inflection_by_language(lang: str, name: str, expected: set[str]) -> None:
    found = all_of(lambda rng: inflect(name, lang, rng))
    if lang == "ru":  # adjective and noun each take a form of their own
        assert expected <= found
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Failure, heart", {"heart Failure"}),
        ("type 2 diabetes", {"diabetes, type 2", "diabetes type 2"}),
        ("asthma", {"asthma"}),
    ],
)
def test_order_of_words(name: str, expected: set[str]) -> None:
    assert all_of(lambda rng: reorder(name, rng)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sjögren-syndrooma", "Sjogren-syndrooma"),
        ("ağrı kesici", "agri kesici"),
        ("άσθμα", "ασθμα"),
        ("жёлчь", "желчь"),
        ("йод", "йод"),  # another letter, not an accent
        ("がん", "がん"),
        ("천식", "천식"),
        ("cafe\u0301", "cafe"),
    ],
)
def test_diacritics(name: str, expected: str) -> None:
    assert unicodedata.normalize("NFC", without_diacritics(name)) == expected


def test_case() -> None:
    assert all_of(lambda rng: recase("Crohn disease", rng)) == {
        "CROHN DISEASE",
        "crohn disease",
        "Crohn Disease",
    }
    assert all_of(lambda rng: recase("哮喘", rng)) == {"哮喘"}


def test_a_korean_typing_error_stays_a_syllable() -> None:
    found = all_of(lambda rng: typo("천식", rng))
    assert len(found) > 10
    assert all(unicodedata.name(char).startswith("HANGUL SYLLABLE") for of in found for char in of)
