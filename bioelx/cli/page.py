"""Reports as one self-contained HTML page: plots as inline SVG, nothing loaded from elsewhere.

Needs Jinja and Matplotlib, which the extras `build` and `eval` bring and serving does not.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from bioelx.disk import write_whole

COLOURS = ("#1f5fbf", "#d9822b", "#1b7f4b", "#7d4bb3", "#b3261e", "#4a5568")
"""For the series of a plot, one after the other; told apart by most colour-blind readers too."""

# The colours are those of page.html; the page's own fonts draw the text.
_STYLE: Any = {
    "svg.hashsalt": "bioelx",  # the same figure gives the same ids
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5b6675",
    "axes.labelcolor": "#1c2430",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d9dee5",
    "grid.linewidth": 0.8,
    "xtick.color": "#1c2430",
    "ytick.color": "#1c2430",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "text.parse_math": False,  # a $ in a name is a $
}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_GROUP_ID = re.compile(r'<g id="[^"]*"')
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


def write_page(path: Path, package: str, template: str, **values: Any) -> None:
    """Renders `package`/templates/`template` (which extends ``page.html``) into `path`.

    All values are escaped unless they are `Markup`; a value that the template names and that is
    not given is an error.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("bioelx.cli")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_whole(environment.get_template(template).render(values).encode(), path)


@contextmanager
def plot_style() -> Iterator[None]:
    """Figures made inside look like the pages that they stand in."""
    with rc_context(_STYLE):
        yield


def svg(figure: Figure, title: str = "") -> Markup:
    """The figure as SVG to stand inside a page, with a title for those who cannot see it."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with plot_style():
        figure.savefig(stream, format="svg", metadata=nothing)
    text = _GROUP_ID.sub("<g", _PROLOGUE.sub("", stream.getvalue()))
    # Ids are unique in a figure only; those of several on a page must not meet.
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = _REFERENCE.sub(rf"\g<1>{own}-", text)
    named = f'<svg role="img" aria-label="{escape(title)}"' if title else "<svg"
    return Markup(text.replace("<svg", named, 1))  # noqa: S704  (our own figure)


def embed_json(data: Any) -> Markup:
    """`data` as JSON to stand in a script element of type ``application/json``.

    With every ``<`` escaped, no text in it can end the element or begin a comment.
    """
    text = orjson.dumps(data).decode().replace("<", "\\u003c")
    return Markup(text)  # noqa: S704  (escaped for where it stands)
