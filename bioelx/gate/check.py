"""The gate as one call: release -> answers, and its parent's -> verdict -> activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bioelx.errors import BioelxError
from bioelx.gate.rows import read_rows
from bioelx.gate.run import answers_of
from bioelx.gate.verdict import ENOUGH, Verdict, compare
from bioelx.release import activate, active_release, find_release, list_releases, read_manifest
from bioelx.settings import GateSettings, home, read_settings, releases_dir

EVALUATIONS = "evaluations"
REGRESSION_SET = "data/regression.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate made of a release."""

    release: str
    baseline: str | None
    """The release that it was compared with."""
    verdict: Verdict | None
    """None where there was nothing to compare with; `skipped` says why."""
    skipped: str = ""

    @property
    def refusal(self) -> str:
        """Why the release is refused; empty: it is not."""
        return self.verdict.refusal if self.verdict else ""

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.verdict is None:
            return f"not compared: {self.skipped}"
        if self.refusal:
            return f"worse than {self.baseline}: {self.refusal}"
        total = self.verdict.total
        if total.compared < ENOUGH:
            return f"too few of the mentions' concepts in it to judge ({total.compared} compared)"
        return (
            f"{total.right} of {total.compared} mentions right, {total.right_before} in "
            f"{self.baseline}"
        )


def check(
    release: str | Path,
    root: Path | None = None,
    settings: GateSettings | None = None,
    *,
    say: Callable[[str], None] = lambda what: None,
) -> Outcome:
    """Links the regression set with a release and with its parent, and compares the answers.

    Answers are kept beside the releases, in evaluations/RELEASE/regression.json, and a release is
    not asked twice. A parent that cannot be opened does not stand in the way of a whole release,
    nor does it that the shipped regression set is not there.

    Args:
        say: is told what is being done.

    Raises:
        NotFoundError: there is no such release.
        FileError: a file of it, or of the regression set, is not as it should be.
    """
    root = root or releases_dir()
    settings = settings or read_settings(GateSettings)
    folder = find_release(release, root)
    baseline = find_baseline(folder, root)
    if baseline is None:
        return Outcome(
            folder.name, None, None, "no parent of it is here, and no other release active"
        )
    path = settings.gate_rows or home() / REGRESSION_SET
    if not (settings.gate_rows or path.exists()):
        return Outcome(folder.name, baseline, None, f"there is no {path}")
    rows = read_rows(path)
    evaluations = root.parent / EVALUATIONS
    say(f"regression set on {folder.name}")
    now = answers_of(folder, rows, evaluations)
    say(f"regression set on {baseline}")
    try:
        before = answers_of(root / baseline, rows, evaluations)
    except BioelxError as error:
        return Outcome(folder.name, baseline, None, f"{baseline} cannot be opened ({error})")
    verdict = compare(
        rows.rows,
        before.answers,
        now.answers,
        margin=settings.gate_margin,
        max_gone=settings.gate_max_gone,
    )
    return Outcome(folder.name, baseline, verdict)


def find_baseline(release: Path, root: Path) -> str | None:
    """The release that one is compared with: its parent, or where that is not there any more, or
    it has none, the active one. None where that is itself."""
    parent, active = read_manifest(release).parent, active_release(root)
    there = [each for each in (parent, active) if each in list_releases(root)]
    return next((each for each in there if each != release.name), None)


def activate_checked(
    release: str | Path,
    root: Path | None = None,
    settings: GateSettings | None = None,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda what: None,
) -> Outcome:
    """Activates a release unless the gate refuses it: see the outcome's `refusal`.

    Args:
        force: activate it all the same.

    Raises:
        As `check` and `bioelx.release.activate`.
    """
    outcome = check(release, root, settings, say=say)
    if force or not outcome.refusal:
        activate(str(release), root)
    return outcome
