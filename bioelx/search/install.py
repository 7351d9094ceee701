"""FAISS comes from exactly one of two packages that overwrite each other's files."""

from __future__ import annotations

from importlib.metadata import distributions

from bioelx.errors import InstallationError


def check_faiss() -> None:
    """Makes sure that one FAISS is installed.

    Raises:
        InstallationError: none is, or a CPU and a GPU build both are.
    """
    installed = sorted(
        {
            name
            for dist in distributions()
            if (name := (dist.metadata["Name"] or "").lower().replace("_", "-"))
            and (name == "faiss-cpu" or name.startswith("faiss-gpu"))
        }
    )
    if not installed:
        raise InstallationError(
            "no FAISS is installed: pip install 'bioelx[cpu]' (or 'bioelx[gpu]' on a GPU host)"
        )
    if len(installed) > 1:
        raise InstallationError(
            f"{' and '.join(installed)} overwrite each other's files: pip uninstall -y "
            f"{' '.join(installed)}, then pip install 'bioelx[cpu]' or 'bioelx[gpu]'"
        )
