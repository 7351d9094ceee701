"""The benchmarks that BioELX reads; one more is one more file, listed here."""

from bioelx_eval.datasets import xlbel
from bioelx_eval.datasets.dataset import Dataset, Example

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in xlbel.DATASETS}
"""All datasets by the name that the command line takes."""

__all__ = ["DATASETS", "Dataset", "Example"]
