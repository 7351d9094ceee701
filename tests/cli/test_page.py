"""Pages that stand alone: what is put into one stays what it is."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateNotFound
from jinja2.exceptions import UndefinedError
from matplotlib.figure import Figure

from bioelx.cli.page import embed_json, plot_style, svg, write_page

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class FirstScript(HTMLParser):
    """What a browser takes for the content of the first script, and what follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.content, self.after = "", ""
        self.ended = False

    def handle_data(self, data: str) -> None:
        if self.ended:
            self.after += data
        else:
            self.content += data

    def handle_endtag(self, tag: str) -> None:
        self.ended |= tag == "script"


@given(value=json_values)
def test_embedded_data_is_read_back_whole(value: Any) -> None:
    parser = FirstScript()
    parser.feed(f'<script type="application/json">{embed_json(value)}</script>after')
    assert json.loads(parser.content) == value
    assert parser.after == "after"


@pytest.mark.parametrize("text", ["</script><b>", "<!--<script>", "</SCRIPT >", "\u2028]]>"])
def test_embedded_text_cannot_end_its_script(text: str) -> None:
    assert "<" not in embed_json([text])
    assert json.loads(embed_json([text])) == [text]


def plotted(name: str, *values: float) -> Figure:
    with plot_style():
        figure = Figure()
        figure.subplots().plot(values, label=name)
        figure.legend()
    return figure


def test_plots_are_stable_and_do_not_share_ids() -> None:
    first, again = (svg(plotted("a $b$ <c>", 1, 2), "R@1 & <more>") for _ in range(2))
    assert first == again
    assert first.startswith('<svg role="img" aria-label="R@1 &amp; &lt;more&gt;"')
    assert "a $b$ &lt;c&gt;" in first
    other = svg(plotted("other", 2, 1))
    ids = [set(re.findall(r'\bid="([^"]+)"', each)) for each in (first, other)]
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])
    for each, own in zip((first, other), ids, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', each)) <= own
    assert "<metadata" not in first


def test_a_template_must_be_there_and_get_all_its_values(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(TemplateNotFound):
        write_page(path, "bioelx.cli", "nothing.html")
    with pytest.raises(UndefinedError):
        write_page(path, "bioelx.cli", "page.html")
    assert list(tmp_path.iterdir()) == []
