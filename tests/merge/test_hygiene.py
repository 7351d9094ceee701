"""Rules of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.merge.hygiene import Hygiene, language_tag, read_hygiene

from .records import merge_all, names_of, said


@pytest.mark.parametrize(
    ("text", "lang", "rule"),
    [
        ("", "en", "empty"),
        ("\u200b ", "en", "empty"),
        ("a\x07b", "en", "control characters"),
        ("12.5 (3)", "en", "no letters"),
        ("x" * 201, "en", "too long"),
        ("MONDO:0005", "en", "an identifier"),
        ("SNOMEDCT_US_2018_09_01:47317002", "en", "an identifier"),
        ("C0027051", "en", "an identifier"),
        ("Q12152", "en", "an identifier"),
        ("http://purl.obolibrary.org/obo/HP_0000118", "en", "an identifier"),
        ("ICD10CM", "en", "a code"),
        ("NCBITaxon", "en", "a code"),
        ("sp.", "la", "a code"),
        ("en", "en", "a language code"),
        ("zh", "zh-hans", "a language code"),
        ("zh-hans", "en", "a language code"),
        ("name", "no such tag", "language not in BCP 47"),
    ],
)
def test_the_rules_of_hygiene(text: str, lang: str, rule: str) -> None:
    bad = said("titles", "doid:1", names=(Name(text, lang, "alias", "titles"),))
    result = merge_all([said("doid", "doid:1", "kept"), bad])
    assert result.report.dropped == {rule: 1}
    assert result.names["text"].to_pylist() == ["kept"]


def test_of_equal_names_the_best_kind_and_source_stays() -> None:
    names = [
        said("titles", "doid:1", names=(Name("COLD", "en", "title", "titles"),)),
        said("doid", "doid:1", names=(Name("cold", "en", "alias", "doid"),)),
        said("mondo", "doid:1", names=(Name("Cold", "en", "alias", "mondo"),)),
    ]
    result = merge_all(names)
    assert names_of(result, "doid:1") == [Name("Cold", "en", "alias", "mondo")]
    assert result.report.dropped == {"repeated": 2}
    assert result.report.names(source="mondo", fate="kept") == 1


@pytest.mark.parametrize(
    ("lang", "expected"),
    [("EN", "en"), ("zh-hans", "zh-Hans"), ("pt_br", "pt-BR"), ("be-tarask", "be-tarask"),
     ("ja-hira", "ja-Hira"), ("zh-min-nan", None), ("e", None), ("", None)],
)  # fmt: skip
def test_language_tags(lang: str, expected: str | None) -> None:
    assert language_tag(lang) == expected


def test_a_code_that_may_be_an_abbreviation_is_a_name() -> None:
    kept = ("MS", "ALS", "NOS", "GO", "Q10", "C20:3", "zgc:103499", "HLA-B27", "non-stop", "CD4")
    named = said("doid", "doid:1", names=tuple(Name(t, "en", "alias", "doid") for t in kept))
    result = merge_all([named])
    assert result.names["text"].to_pylist() == sorted(kept)


def test_the_names_of_some_sources_are_kept_as_they_are() -> None:
    odd = said("titles", "doid:1", names=(Name("C0027051", "en", "label", "titles"),
                                          Name("\u200b", "en", "alias", "titles")))  # fmt: skip
    result = merge_all([odd], verbatim=["titles"])
    assert result.names["text"].to_pylist() == ["C0027051"]
    assert result.report.dropped == {"empty": 1}


def test_every_name_has_one_fate() -> None:
    named = said("doid", "doid:1", names=(
        Name("cold", "en", "label", "doid"), Name("Cold", "en", "alias", "doid"),
        Name("Schnupfen", "de", "alias", "doid"), Name("12", "de", "alias", "doid")))  # fmt: skip
    gone = said("doid", "doid:2", "old", status=Status.RETIRED)
    report = merge_all([named, gone]).report
    assert report.fates == {
        ("doid", "en", "kept"): 1,
        ("doid", "en", "repeated"): 1,
        ("doid", "de", "kept"): 1,
        ("doid", "de", "no letters"): 1,
        ("doid", "en", "of a retired concept"): 1,
    }
    assert report.names() == 5
    assert report.names(source="doid", language="de") == 2
    assert [(name.text, name.language) for name in report.dropped_names["no letters"]] == [
        ("12", "de")
    ]


def test_names_that_many_concepts_share_are_flagged_and_stay() -> None:
    shared = [
        said(
            "doid",
            f"doid:{number}",
            f"disease {number}",
        )
        for number in range(5)
    ]
    also = [
        said("titles", f"doid:{number}", names=(Name(text, lang, "alias", "titles"),))
        for number, (text, lang) in enumerate([("CAD", "en"), ("cad", "de"), ("CAD", "en")])
    ]
    result = merge_all([*shared, *also], rules=Hygiene(ambiguous_above=2))  # fmt: skip
    flagged = result.names.filter(result.names["ambiguous"])
    assert flagged["text"].to_pylist() == ["CAD", "cad", "CAD"]
    assert result.report.ambiguous == {"cad": 3}
    assert not any(merge_all([*shared, *also]).names["ambiguous"].to_pylist())


def test_rules_are_read_from_the_list_of_sources(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text('[hygiene]\nmax_length = 20\nidentifiers = false\ncodes = ["NOS"]\n')
    rules = read_hygiene(path)
    texts = ("MONDO:0005", "nos", "ICD10", "a name of twenty-one ")
    named = said("doid", "doid:1", names=tuple(Name(t, "en", "alias", "doid") for t in texts))
    result = merge_all([named], rules=rules)
    assert result.names["text"].to_pylist() == ["ICD10", "MONDO:0005"]
    assert result.report.dropped == {"a code": 1, "too long": 1}
    path.write_text("")
    assert read_hygiene(path) == Hygiene()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[hygiene]\nmax_lenght = 20", r"hygiene\.max_lenght: no such key; there are control_char"),
        ("[hygiene]\nmax_length = 0", r"hygiene\.max_length: Input should be greater than"),
        ('[hygiene]\nidentifiers = "yes"', r"hygiene\.identifiers: Input should be a valid bool"),
        ("[hygiene]\ncodes = [1]", r"hygiene\.codes\[0\]: Input should be a valid string"),
        ("hygiene = 3", r"hygiene is no table"),
    ],
)
def test_rules_that_do_not_exist_or_do_not_fit_are_named(
    tmp_path: Path, table: str, message: str
) -> None:
    (tmp_path / "sources.toml").write_text(table)
    with pytest.raises(FileError, match=rf"sources\.toml: {message}"):
        read_hygiene(tmp_path / "sources.toml")
