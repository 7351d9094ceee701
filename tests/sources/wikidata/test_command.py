"""What `bioelx pull wikidata` makes of its options."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bioelx.cli.pull import app
from bioelx.errors import BioelxError, FileError, SourceError
from bioelx_index.sources.wikidata.folder import read_pull

PUBLIC = ["--endpoint", "https://query.wikidata.org/sparql"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --endpoint URL or --dump FILE"),
        ([*PUBLIC, "--dump", "latest-all.json"], "either --endpoint URL or --dump FILE"),
        (["--dump", "latest-all.json", "--since", "active"], "--since and --base ask an endpoint"),
        (["--endpoint", "nonsense"], "nonsense: not an http or https URL"),
        (PUBLIC, "say who you are, with name, version and contact"),
        ([*PUBLIC, "--scheme", "meshh"], "scheme 'meshh'"),
        ([*PUBLIC, "--only-schemes"], "nothing is selected"),
        ([*PUBLIC, "--selection", "missing.toml"], r"missing\.toml: no such file"),
        (["--dump", "missing.json"], r"missing\.json"),
        ([*PUBLIC, "--changes", "events"], "only with --since or --base"),
        ([*PUBLIC, "--events", "https://streams.example"], "only with --changes events"),
    ],
)
def test_options_that_do_not_fit_say_so(options: list[str], message: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises((BioelxError, FileError, SourceError), match=message):
        CliRunner().invoke(app, ["wikidata", *options, *out], catch_exceptions=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--page-size", "0"], ["--parallel", "99"], ["--workers", "0"]])
def test_a_number_out_of_bounds_is_a_wrong_use(option: list[str]) -> None:
    result = CliRunner().invoke(app, ["wikidata", *PUBLIC, *option])
    assert result.exit_code == 2
    assert f"Invalid value for '{option[0]}'" in result.output


def test_a_file_and_options_select_together_and_home_holds_the_pull(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOELX_HOME", str(tmp_path))
    chosen = tmp_path / "some.toml"
    chosen.write_text('[selection]\nschemes = ["doid"]\nlanguages = ["de"]\ndefaults = false\n')
    command = ["wikidata", "--endpoint", endpoint, "--selection", str(chosen)]
    command += ["--scheme", "P1748", "--language", "zh"]
    first = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "2 items, 0 retired, 3 names in 3 languages" in first.output
    assert "failures 0" in first.output
    finished = read_pull(tmp_path / "pulls" / "wikidata-sparql")
    assert finished.selection["properties"] == ["P699", "P1748"]
    assert finished.selection["languages"] == ["de", "zh"]
    again = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "It was finished before." in again.output
    with pytest.raises(SourceError, match="holds another pull"):
        CliRunner().invoke(app, [*command, "--tree", "Q12136"], catch_exceptions=False)
