"""Files in the format of the UMLS's RRF, as large as a test needs them."""

from __future__ import annotations

from pathlib import Path

_LANGUAGES = ("ENG", "SPA", "GER", "FRE", "JPN")


def write_metathesaurus(folder: Path, concepts: int) -> None:
    """Writes `concepts` CUIs with five names each and, between them, as many retired ones."""
    with (
        (folder / "MRCONSO.RRF").open("w") as names,
        (folder / "MRSTY.RRF").open("w") as types,
        (folder / "MRDEF.RRF").open("w") as definitions,
        (folder / "MRCUI.RRF").open("w") as retired,
    ):
        for number in range(0, 2 * concepts, 2):
            cui = f"C{number:07d}"
            for index, lat in enumerate(_LANGUAGES):
                atom = f"A{number}{index}"
                names.write(
                    f"{cui}|{lat}|P|L{atom}|PF|S{atom}|Y|{atom}||M{number}|D{number:06d}|MSH|MH|"
                    f"D{number % 1_000_000:06d}|name {index} of thing number {number}|0|N|256|\n"
                )
            types.write(f"{cui}|T047|B2.2.1.2.1|Disease or Syndrome|AT{number}|256|\n")
            definitions.write(f"{cui}|A{number}0|AT{number}||MSH|what {number} is like|N||\n")
            retired.write(f"C{number + 1:07d}|2000AC|SY|||{cui}|Y|\n")
