"""Reports as one self-contained HTML page: plots as inline SVG, nothing loaded from elsewhere.

Needs Jinja and Matplotlib, which the extras `build` and `eval` bring and serving does not.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

# The same figure gives the same bytes: no date, and ids that do not depend on chance.
_STABLE: Any = {"svg.hashsalt": "bioelx", "svg.fonttype": "none", "font.family": "sans-serif"}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)


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
    )
    draft = path.with_suffix(".part")
    draft.write_text(environment.get_template(template).render(values), encoding="utf-8")
    draft.replace(path)


def svg(figure: Figure) -> Markup:
    """The figure as SVG to stand inside a page."""
    stream = io.StringIO()
    with rc_context(_STABLE):
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    return Markup(_PROLOGUE.sub("", stream.getvalue()))  # noqa: S704  (our own figure)
