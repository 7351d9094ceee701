"""The benchmarks that BioELX reads; one more is one more file, listed here."""

from bioelx_eval.datasets import bc5cdr, mantra, medmentions, wikimed, xlbel
from bioelx_eval.datasets.dataset import Dataset, Example, Skipped

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for module in (xlbel, mantra, bc5cdr, medmentions, wikimed)
    for dataset in module.DATASETS
}
"""All datasets by the name that the command line takes."""

__all__ = ["DATASETS", "Dataset", "Example", "Skipped"]
