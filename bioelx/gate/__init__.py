"""The gate: a release becomes the active one if it links the regression set as its parent does."""

from bioelx.gate.check import Outcome, activate_checked, check, find_baseline
from bioelx.gate.rows import Row, RowSet, read_rows
from bioelx.gate.run import Answer, Result, answers_of
from bioelx.gate.verdict import Change, Tally, Verdict, compare

__all__ = [
    "Answer",
    "Change",
    "Outcome",
    "Result",
    "Row",
    "RowSet",
    "Tally",
    "Verdict",
    "activate_checked",
    "answers_of",
    "check",
    "compare",
    "find_baseline",
    "read_rows",
]
