"""What an evaluation leaves behind: files to compute with, and a table to read."""

from bioelx_eval.report.files import PredictionsFile, write_scores
from bioelx_eval.report.table import as_table, summary, write_report

__all__ = ["PredictionsFile", "as_table", "summary", "write_report", "write_scores"]
