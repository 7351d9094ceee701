"""The slice: what a raw file says, cleaned, in N-Triples that a real parser reads back."""

from __future__ import annotations

from pathlib import Path

import pyoxigraph
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx_index.snapshot.ntriples import iri, literal, triple
from bioelx_index.snapshot.raw_wikidata import read_all, whole_names
from bioelx_index.snapshot.slice import Slice, clean

RAW = Path(__file__).parent / "raw"
UNICODE = st.text(st.characters(exclude_categories=["Cs"]))


@given(UNICODE, st.sampled_from(["", "de", "zh-Hant"]))
def test_a_literal_comes_back_as_it_was(text: str, lang: str) -> None:
    subject, predicate = "http://www.wikidata.org/entity/Q1", "http://schema.org/name"
    line = triple(iri(subject), iri(predicate), literal(text, lang))
    assert "\n" not in line
    (quad,) = pyoxigraph.parse(line.encode(), format=pyoxigraph.RdfFormat.N_TRIPLES)
    assert (quad.object.value, quad.object.language or "") == (text, lang.lower() or "")


@given(UNICODE)
def test_any_url_becomes_an_iri_that_parses(path: str) -> None:
    line = triple(iri(f"https://de.wikipedia.org/wiki/{path}"), iri("http://a/b"), literal("c"))
    list(pyoxigraph.parse(line.encode(), format=pyoxigraph.RdfFormat.N_TRIPLES, lenient=True))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [("snake\r\n bite ", "snake bite"), ("Ch\ufffd\ufffddiak-Higashi-like syndrome", "")],
)
def test_stray_line_ends_go_and_names_with_lost_letters_are_given_up(
    raw: str, cleaned: str
) -> None:
    assert clean(raw) == cleaned


@pytest.mark.parametrize(
    ("label", "pieces", "kept"),
    [
        # As openVirus has them: an alias with a comma stands as two.
        (
            "gingival recession, localised",
            [
                "Gingival recession",
                "localized",
                "Gingival recession",
                "unspecified",
                "receding gums",
            ],
            ["receding gums"],
        ),
        ("African horse sickness", ["AHS", "sickness", "African horse"], ["AHS"]),
        (
            "hand, foot and mouth disease",
            ["HFMD", "Hand", "Foot", "and Mouth Disease", "Vesicular stomatitis and exanthem"],
            ["HFMD", "Hand", "Vesicular stomatitis and exanthem"],
        ),
        ("epilepsy", ["EPM1 (Unverricht", "EPM1"], ["EPM1"]),
        (
            "calcitriol",
            ["1,25-Dihydroxyvitamin D3", "Silkis"],
            ["1,25-Dihydroxyvitamin D3", "Silkis"],
        ),
        ("wart", [], []),
    ],
)
def test_pieces_of_names_are_given_up(label: str, pieces: list[str], kept: list[str]) -> None:
    assert whole_names(pieces, label) == kept


def test_the_label_service_s_stand_in_is_no_name() -> None:
    found = Slice()
    found.label("Q139160", "ur", "Q139160")
    found.alias("Q139160", "ur", "Q139160")
    assert not found.items()


def test_the_newest_label_stands_and_an_older_one_becomes_an_alias() -> None:
    found = Slice()
    for text in ("cevostamab", "Cevostamab", "cevostamab"):
        found.label("Q136090403", "en", text)
    assert [tuple(name) for item in found.concepts() for name in item.names] == [
        ("cevostamab", "en", "label", "wikidata"),
        ("Cevostamab", "en", "alias", "wikidata"),
    ]


@pytest.mark.parametrize(
    ("prop", "value", "good"),
    [
        ("P486", "D003920", True),
        ("P486", "D000086402", True),
        ("P486", "22", False),
        ("P486", "Chloroplaste", False),
        ("P699", "DOID:9351", True),
        ("P699", "has_symptom", False),
        ("P2892", "C0011849", True),
        ("P2892", "CN043596", False),
        ("P493", "190,191.0", False),
    ],
)
def test_only_well_formed_identifiers_are_kept(prop: str, value: str, good: bool) -> None:
    found = Slice()
    found.identifier("Q12206", prop, value)
    assert bool(found.identifiers) == good


def test_excerpts_of_the_raw_files_become_wikidata_s_statements() -> None:
    found = read_all(RAW)
    graph = pyoxigraph.Store()
    graph.load("\n".join(found.statements()).encode(), format=pyoxigraph.RdfFormat.N_TRIPLES)
    wd, wdt = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"

    def values(qid: str, predicate: str) -> set[tuple[str, str]]:
        quads = graph.quads_for_pattern(
            pyoxigraph.NamedNode(wd + qid), pyoxigraph.NamedNode(predicate), None
        )
        return {(q.object.value, getattr(q.object, "language", "") or "") for q in quads}

    assert values("Q403453", "http://www.w3.org/2000/01/rdf-schema#label") == {
        ("Aicardi-Goutieres syndrome", "en"),
        ("エカルディ・グティエール症候群", "ja"),
    }
    assert values("Q403453", wdt + "P486") == {("C535607", "")}
    assert values("Q140", wdt + "P1843") == {("Löwe", "de")}
    assert values("Q140", wdt + "P31") == {(wd + "Q16521", "")}
    assert ("4-Aminosalicylsäure", "de") in values(
        "Q229924", "http://www.w3.org/2000/01/rdf-schema#label"
    )
    article = pyoxigraph.NamedNode("https://de.wikipedia.org/wiki/4-Aminosalicyls%C3%A4ure")
    titles = graph.quads_for_pattern(article, pyoxigraph.NamedNode("http://schema.org/name"), None)
    assert [quad.object.value for quad in titles] == ["4-Aminosalicylsäure"]
    # "aircraft pilot", which SeekMed took for medical procedures; rows with malformed ids.
    assert found.items().isdisjoint({"Q19934710", "Q155"})
    assert ("Q403453", "Q12136") in found.members


def test_a_raw_file_that_is_not_what_it_should_be_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "wikidata_seekmed"
    folder.mkdir()
    (folder / "x_20251026_203240.csv").write_text("item,en_label\nQ1,universe\n", encoding="utf-8")
    with pytest.raises(FileError, match=r"x_20251026_203240\.csv.*qid"):
        read_all(tmp_path)
