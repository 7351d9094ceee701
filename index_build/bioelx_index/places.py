"""Where builds work: the folders of a BIOELX_HOME."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PULLS = "pulls"


@dataclass(frozen=True, slots=True)
class Places:
    """A BIOELX_HOME as the offline job uses it."""

    home: Path

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def cache(self) -> Path:
        """What builds keep for later ones."""
        return self.home / "cache"

    @property
    def pulls(self) -> tuple[Path, ...]:
        """The folders with pulls: the user's, and those that builds made for themselves."""
        return self.home / PULLS, self.cache / PULLS
