"""The file of settings: what it may say, what it is told where it says something else."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from bioelx.errors import BioelxError, FileError
from bioelx.toml_file import explain
from bioelx_index.settings import BuildSettings, read_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "build.toml"


def test_the_explanation_is_a_file_that_changes_nothing() -> None:
    assert BuildSettings.model_validate(tomllib.loads(explain(BuildSettings))) == BuildSettings()


def tables(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """A table and all within it, each with its name."""
    yield name, model
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from tables(field.annotation, f"{name}.{key}".lstrip("."))


def test_the_explanation_has_every_key_and_says_what_it_means(file: Path) -> None:
    said = explain(BuildSettings)
    known = dict(tables(BuildSettings))
    assert {"encoder.training", "index", "gate"} < set(known)
    for table, model in known.items():
        begins = said.index(f"\n[{table}]\n") if table else 0
        part = said[begins:].split("\n[")[1 if table else 0]
        keys = [key for key in model.model_fields if f"{table}.{key}".lstrip(".") not in known]
        for key in keys:
            assert re.search(rf"^# \S.*\n(# )?{key} = ", part, re.MULTILINE), (table, key)
    # An example that stands in a comment may be taken out of it.
    for example in re.findall(r"^# (\w+ = .+)$", said, re.MULTILINE):
        before = said[: said.index(f"# {example}")]
        within = re.findall(r"^\[(.+)\]$", before, re.MULTILINE)
        file.write_text(f"[{within[-1]}]\n{example}\n" if within else example)
        assert read_settings(file) != BuildSettings()


def test_paths_are_meant_from_the_file_and_options_override_single_keys(file: Path) -> None:
    file.write_text(
        'umls = "META"\n[select]\nnames = 7\ntypes = ["gene"]\n[wikidata]\npull = "/pulls/one"\n'
    )
    settings = read_settings(file, {"select.names": 9, "wikidata.user_agent": "me"})
    assert settings.umls == file.parent / "META"
    assert settings.wikidata.pull == Path("/pulls/one")
    assert (settings.select.names, settings.select.types) == (9, ("gene",))
    assert settings.wikidata.user_agent == "me"
    assert read_settings(None, {"umls": Path("META")}).umls == Path("META")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[selct]", "selct: no such key; there are data, umls, dictionary, wikidata, select"),
        ("[select]\nnamez = 3", "select.namez: no such key; there are names, types"),
        (
            "[encoder.training]\nstep = 3",
            "encoder.training.step: no such key; there are base",
        ),
        ("[index]\nef = 3", "index.ef: no such key; there are ef_search, nprobe"),
        ("[index]\nef_search = 0", "index.ef_search: Input should be greater than or equal"),
        ("[select]\nnames = 0", "select.names: Input should be greater than or equal to 1"),
        ('[select]\ntypes = ["gene", "illness"]', "select.types[1]: 'illness' is none of disease"),
        ('[encoder]\ntrain = "perhaps"', "encoder.train: Input should be a valid boolean"),
        ('[encoder]\ntrain = true\nfolder = "x"', "encoder: folder and train: the encoder is"),
        ('[wikidata]\npull = "a"\nendpoint = "b"', "wikidata: pull and endpoint: Wikidata comes"),
        ('[evaluate]\nsuites = ["xlbel"]', "evaluate: suites: data must say where"),
        ('[evaluate]\nsuites = ["bible"]', "evaluate.suites[0]: 'bible' is none of xlbel"),
        ('dictionary = "a"\ndata = "b"', "dictionary takes the place of data"),
        ("select = 3", "select: Input should be a valid dictionary"),
        ("select", "not TOML"),
    ],
)
def test_a_file_that_does_not_fit_is_told_so_with_its_key(
    file: Path, content: str, told: str
) -> None:
    file.write_text(content)
    with pytest.raises(FileError, match=re.escape(f"{file}: {told}")):
        read_settings(file)


def test_an_option_that_does_not_fit_is_named_by_its_key(file: Path) -> None:
    with pytest.raises(FileError, match=r"build\.toml: no such file"):
        read_settings(file)
    with pytest.raises(BioelxError, match=r"^select\.types\[0\]: 'illness' is none of"):
        read_settings(None, {"select.types": ["illness"]})
    file.write_text('[wikidata]\nendpoint = "http://localhost"\n')
    with pytest.raises(BioelxError, match="pull and endpoint"):
        read_settings(file, {"wikidata.pull": Path("pull")})


def test_what_the_file_does_not_say_the_environment_may(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOELX_INDEX_NPROBE", "7")
    monkeypatch.setenv("BIOELX_GATE_MARGIN", "0.5")
    file.write_text("[index]\nef_search = 99\n[gate]\nmax_gone = 0.25\n")
    settings = read_settings(file, {"select.names": 3})
    assert (settings.index.ef_search, settings.index.nprobe) == (99, 7)
    gate = settings.gate.settings()
    assert (gate.gate_max_gone, gate.gate_margin) == (0.25, 0.5)
    monkeypatch.setenv("BIOELX_INDEX_NPROBE", "many")
    with pytest.raises(BioelxError, match="BIOELX_INDEX_NPROBE"):
        read_settings(None)
