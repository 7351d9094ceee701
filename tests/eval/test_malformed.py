"""Whatever happens to a file of a benchmark, no wrong example is read from it.

Each format's small good file is damaged at random. What may come of it: a FileError that names the
file; the same examples; or examples that the damaged file still says, each with a mention that its
offsets enclose and gold ids of their scheme's form. Nothing else, and no other exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx_eval.datasets import DATASETS, Dataset, Example, Skipped

XLBEL_V1 = """\
C0004096||astma||vaikea <tgt>astma</tgt> ja yskä
C0027051|C0155626||sydäninfarkti||<tgt>sydäninfarkti</tgt>
C0018681||päänsärky||kova <tgt>päänsärky</tgt> .
"""
XLBEL_V0 = re.sub(r"\|\|[^|\n]*<tgt>.*", "", XLBEL_V1)
COVERED = """\
language\tline\tgold\tmention
fi\t1\tC0004096\tastma
fi\t3\tC0018681\tpäänsärky
"""
TEXT = "Bei Fieber über 40 °C: Zäher Husten und Schmerz.\n"
ANN = """\
T2\tC0010200 29 35\tHusten
#2\tAnnotatorNotes T2\tcough
T3\tC0015967 4 10\tFieber
T4\tC0850149 23 28;40 47\tZäher Schmerz
T5\tC0424755 4 10\tFieber
"""
BC5CDR = """\
101|t|Zinc eased a cough | in mice.
101|a|Dry cough and wheeze fell.
101\t0\t4\tZinc\tChemical\tD015032
101\t34\t50\tcough and wheeze\tDisease\tD003371|D012135\tcough|wheeze
101\tCID\tD015032\tD003371

102|t|β-Blöckade
102|a|Ärztliche Übelkeit after XY-7.
102\t21\t29\tÜbelkeit\tDisease\tD009325
102\t36\t40\tXY-7\tChemical\t-1

"""
MEDMENTIONS = """\
11|t|Öf mice
11|a|Calm mice and men.
11\t3\t7\tmice\tT204\tC0025914
11\t13\t17\tmice\tT015,T204\tUMLS:C0025929

12|t|Of men
12|a|None.
12\t3\t6\tmen\tT098\tC0025266

"""
PAGES = [
    {
        "id": "1",
        "text": "Die Grippe ist eine Krankheit.",
        "mentions": [
            {"mention": "Grippe", "start_index": 4, "end_index": 10, "cui": "C0021400"},
            {"mention": "Krankheit", "start_index": 20, "end_index": 29, "cui": "None"},
        ],
    },
    {
        "id": "2",
        "text": "Für Schmerz.",
        "mentions": [
            {"mention": "Schmerz", "start_index": 4, "end_index": 11, "cui": ["C0030193"]},
            {"mention": "Schmerz", "start_index": 6, "end_index": 13, "cui": "C0030193"},
        ],
    },
]
XLBEL_FILE = "xlbel/v1.0/fi_1k_test_query_with_context.txt"
MANTRA = "Mantra-GSC/German/EMEA_x/1_d1.u1"
LISTS = "full/data/corpus_pubtator_pmids_test.txt"
ST21PV = "st21pv/data/corpus_pubtator.txt"


@dataclass(frozen=True)
class Format:
    """A dataset at small size; the first of its files is the one that gets damaged."""

    dataset: Dataset
    groups: Sequence[str]
    files: Mapping[str, str]
    separator: str = "\t"  # of its columns
    record: str = "\n"  # ends what holds a mention together with its gold id

    @property
    def damaged_file(self) -> str:
        return next(iter(self.files))


@dataclass(frozen=True)
class Sample:
    """A format whose files lie in a folder."""

    format: Format
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / self.format.damaged_file

    @property
    def good(self) -> bytes:
        return self.format.files[self.format.damaged_file].encode()

    @property
    def lines(self) -> list[bytes]:
        return self.good.splitlines(keepends=True)

    def read(self, content: bytes) -> list[Example] | None:
        """What is read when the file holds `content`; None where it is refused as it should be."""
        self.path.write_bytes(content)
        dataset = self.format.dataset
        try:
            read = list(dataset.read(dataset.locate(self.folder), self.format.groups))
        except FileError as error:
            names = tuple(str(self.folder / name) for name in self.format.files)
            if not str(error).startswith(names):
                pytest.fail(f"the error names no file: {error}")
            if error.line is None and error.path.suffix == ".ann":
                pytest.fail(f"the error names no line: {error}")
            return None
        assert all(isinstance(each, Example | Skipped) for each in read)
        return [each for each in read if isinstance(each, Example)]

    def check(self, example: Example) -> None:
        """Fails unless the example is sound in itself and stands in the files."""
        query = example.query
        assert 0 <= query.start < query.end <= len(query.text)
        assert normalise(query.mention)
        assert all(normalise(part.mention) for part in example.parts)
        assert example.group in self.format.groups
        assert all(GOLD[self.format.dataset.scheme].fullmatch(each) for each in example.gold)
        texts = ((self.folder / name).read_bytes().decode() for name in self.format.files)
        records = [record for text in texts for record in text.split(self.format.record)]
        for gold in example.gold:
            local = gold.partition(":")[2]
            said = json.dumps(query.mention)[1:-1]
            assert any(
                local in record and (query.mention in record or said in record)
                for record in records
            )


FORMATS = {
    "xlbel": Format(DATASETS["xlbel"], ["fi"], {XLBEL_FILE: XLBEL_V1}, "||"),
    "xlbel v0.0": Format(DATASETS["xlbel-v0.0"], ["fi"], {"fi_1k_test_query.txt": XLBEL_V0}, "||"),
    "xlbel covered rows": Format(
        DATASETS["xlbel"], ["fi"], {"xlbel/covered-v1.0.tsv": COVERED, XLBEL_FILE: XLBEL_V1}
    ),
    "mantra annotations": Format(
        DATASETS["mantra"], ["EMEA de"], {f"{MANTRA}.ann": ANN, f"{MANTRA}.txt": TEXT}
    ),
    "mantra text": Format(
        DATASETS["mantra"], ["EMEA de"], {f"{MANTRA}.txt": TEXT, f"{MANTRA}.ann": ANN}
    ),
    "bc5cdr": Format(DATASETS["bc5cdr"], ["Chemical", "Disease"], {"test_corpus.txt": BC5CDR}),
    "medmentions": Format(
        DATASETS["medmentions-st21pv"], ["en"], {ST21PV: MEDMENTIONS, LISTS: "12\n11\n"}
    ),
    "medmentions split": Format(
        DATASETS["medmentions-st21pv"], ["en"], {LISTS: "12\n11\n", ST21PV: MEDMENTIONS}
    ),
    "wikimed lines": Format(
        DATASETS["wikimed"],
        ["de"],
        {"test_data_bel.json": "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in PAGES)},
        ", ",
    ),
    "wikimed array": Format(
        DATASETS["wikimed"],
        ["de"],
        {"test_data_bel.json": json.dumps(PAGES, ensure_ascii=False, indent=4) + "\n"},
        ": ",
        "    },",
    ),
}
GOLD = {"umls": re.compile("umls:C[0-9]{7}|umls:C[LN][0-9]{6}|umls:[0-9]{5}"),
        "mesh": re.compile("mesh:[CD][0-9]{6}(?:[0-9]{3})?")}  # fmt: skip


# What may happen to a file; each takes its lines apart and returns them, changed.

Damage = Callable[[Random, list[bytes], bytes], list[bytes]]


def change_bytes(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    """Deletes, inserts or replaces a byte, often by one that means something somewhere."""
    content, at = b"".join(lines), rng.randrange(sum(map(len, lines)) + 1)
    new = rng.choice(
        [b"", bytes([rng.randrange(256)]), rng.choice([b"\t", b"|", b"\n", b"0", b" "])]
    )
    return [content[:at] + new + content[at + rng.randrange(2) :]]


def cut(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    content = b"".join(lines)
    return [content[: rng.randrange(len(content) + 1)]]


def cut_line(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    row = rng.randrange(len(lines))
    lines[row] = lines[row][: rng.randrange(len(lines[row]) + 1)] + b"\n"
    return lines


def drop_line(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    del lines[rng.randrange(len(lines))]
    return lines


def repeat_line(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return lines


def swap_columns(rng: Random, lines: list[bytes], separator: bytes) -> list[bytes]:
    row = rng.randrange(len(lines))
    columns = lines[row].rstrip(b"\n").split(separator)
    rng.shuffle(columns)
    lines[row] = separator.join(columns) + b"\n"
    return lines


def drop_column(rng: Random, lines: list[bytes], separator: bytes) -> list[bytes]:
    row = rng.randrange(len(lines))
    columns = lines[row].rstrip(b"\n").split(separator)
    del columns[rng.randrange(len(columns))]
    lines[row] = separator.join(columns) + b"\n"
    return lines


def shift_number(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    """Makes a number in a line another: an offset, mostly, or a part of an id."""
    row = rng.randrange(len(lines))
    if numbers := list(re.finditer(rb"\d+", lines[row])):
        found = rng.choice(numbers)
        other = str(max(0, int(found[0]) + rng.choice([-10, -1, 1, 10]))).encode()
        lines[row] = lines[row][: found.start()] + other + lines[row][found.end() :]
    return lines


def mark(_: Random, lines: list[bytes], __: bytes) -> list[bytes]:
    return [b"\xef\xbb\xbf", *lines]


def end_lines_as_windows_does(_: Random, lines: list[bytes], __: bytes) -> list[bytes]:
    return [line.replace(b"\n", b"\r\n") for line in lines]


def fill_with_junk(rng: Random, lines: list[bytes], _: bytes) -> list[bytes]:
    row = rng.randrange(len(lines))
    return [*lines[:row], rng.randbytes(40), *lines[row + rng.randrange(2) :]]


HARMLESS = (mark, end_lines_as_windows_does)
DAMAGES: tuple[Damage, ...] = (
    *HARMLESS,
    *(change_bytes, cut, cut_line, drop_line, repeat_line),
    *(swap_columns, drop_column, shift_number, fill_with_junk),
)


@pytest.fixture(scope="module", params=FORMATS)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A format, its files written to a folder of their own."""
    format = FORMATS[request.param]
    folder = tmp_path_factory.mktemp("data")
    for name, content in format.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8", newline="")
    return Sample(format, folder)


def test_the_good_files_are_read(sample: Sample) -> None:
    assert len(sample.read(sample.good) or []) >= 2


@pytest.mark.parametrize("change", HARMLESS)
def test_byte_order_marks_and_windows_line_ends_change_nothing(
    sample: Sample, change: Damage
) -> None:
    if sample.format is FORMATS["mantra text"] and change is end_lines_as_windows_does:
        pytest.skip("there the line ends are part of the text")
    expected = sample.read(sample.good)
    assert sample.read(b"".join(change(Random(0), sample.lines, b""))) == expected


def test_an_empty_file_gives_no_example(sample: Sample) -> None:
    assert not sample.read(b"")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=3), st.randoms())
def test_a_damaged_file_is_refused_or_says_what_is_read_from_it(
    sample: Sample, damages: Sequence[Damage], rng: Random
) -> None:
    content = sample.good
    for damage in damages:
        lines = content.splitlines(keepends=True) or [b""]
        content = b"".join(damage(rng, lines, sample.format.separator.encode()))
    read = sample.read(content) or []
    assert len({example.id for example in read}) == len(read)
    for example in read:
        sample.check(example)
