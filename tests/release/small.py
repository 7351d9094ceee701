"""Releases of a few hundred bytes, for what does not look inside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bioelx.release import EncoderStamp, IndexStamp, Manifest, SourceStamp, draft_folder
from bioelx.release.store import finish_release


def make(root: Path, minutes: int = 0) -> str:
    """Makes a release; one of another minute differs in its encoder, and shares its names."""
    with draft_folder(root) as draft:
        (draft / "encoder").mkdir()
        (draft / "names.arrow").write_bytes(bytes(range(200)))
        (draft / "encoder" / "encoder.json").write_text(f"{{}} {minutes}")
        manifest = Manifest(
            id="",
            created=datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=minutes),
            parent=None,
            sources=(SourceStamp("wikidata", "2026-11 «é»", "CC0-1.0", "0" * 64),),
            encoder=EncoderStamp("e", "f", 3),
            index=IndexStamp("Flat", 1, 1.0),
            concepts=1,
            names=10,
        )
        return finish_release(draft, manifest, root).id
