from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from bioelx.ranking import Window
from bioelx.ranking.prompt import INSTRUCTION, PREFIX, SUFFIX, PromptBuilder
from bioelx.types import Candidate

WINDOW = Window("Der Patient erlitt einen ", "Herzinfarkt", " und wurde katheterisiert.")
GOLDEN_TEXT = """\
<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: Given a passage in which one biomedical mention stands between <mention> and \
</mention>, judge whether the Document describes the very concept that this mention refers to
<Query>: Der Patient erlitt einen <mention>Herzinfarkt</mention> und wurde katheterisiert.
<Document>: myocardial infarction; Herzinfarkt; Infarkt (disease): interruption of cardiac blood \
supply<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
GOLDEN_IDS = """
151644 8948 198 60256 3425 279 11789 20027 279 8502 3118 389 279 11361 323 279 758 1235 3897 13
7036 429 279 4226 646 1172 387 330 9693 1 476 330 2152 3263 151645 198 151644 872 198 27 641 1235
26818 16246 264 21085 304 892 825 93512 6286 13352 1948 366 29248 29 323 690 29248 8066 11651 3425
279 11789 16555 279 1602 7286 429 419 6286 19257 311 198 27 2859 26818 12741 28924 2714 75 1442
15462 366 29248 29 20705 89 13573 838 83 522 29248 29 2030 26109 595 587 1404 87481 624 75692 26818
94636 530 4132 277 407 26 52639 13573 838 83 26 14921 838 83 320 67 55307 1648 74003 315 46245 6543
8149 151645 198 151644 77091 198 151667 271 151668 271
"""

TAG = re.compile(r"\n?</?(?:mention|instruct|query|document)>|\n", re.IGNORECASE)

# All that the template, the chat format and the answer are made of, and what is hard to cut.
HOSTILE = st.lists(
    st.sampled_from(
        [
            *("<mention>", "</mention>", "<Document>: ", "<Query>", "<Instruct>", "\n", "\n\n"),
            *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>"),
            *("yes", "no", "<", ">", " ", "\u200f", "\u202e", "\u0338", "é", "e\u0301", "ยาแก้ปวด"),
            *("심근경색", "心筋梗塞", "👩🏽‍⚕️", "𝛼", "12.5", "…"),
        ]
    )
    | st.text(max_size=5),
    max_size=30,
).map("".join)


def whole(builder: PromptBuilder, window: Window, candidate: Candidate) -> list[int]:
    return builder.opening + builder.head(window) + builder.tail(candidate)


def test_the_prompt_is_the_model_cards(
    builder: PromptBuilder, tokenizer: Tokenizer, candidate
) -> None:
    ids = whole(builder, WINDOW, candidate())
    assert tokenizer.decode(ids, skip_special_tokens=False) == GOLDEN_TEXT
    assert ids == [int(token) for token in GOLDEN_IDS.split()]
    assert ids == tokenizer.encode(GOLDEN_TEXT).ids


def test_the_answers_are_the_model_cards(builder: PromptBuilder) -> None:
    assert (builder.yes_id, builder.no_id) == (9693, 2152)


@settings(max_examples=300)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_text_reaches_the_template(
    builder: PromptBuilder,
    tokenizer: Tokenizer,
    candidate,
    before: str,
    mention: str,
    after: str,
    label: str,
    description: str,
) -> None:
    first_added = tokenizer.token_to_id("<|endoftext|>")
    prefix, suffix = tokenizer.encode(PREFIX).ids, tokenizer.encode(SUFFIX).ids
    window = Window(before, mention, after)
    found = candidate(label, description=description, names=(after, label, before))
    ids = whole(builder, window, found)

    body = ids[len(prefix) : -len(suffix)]
    assert ids[: len(prefix)] == prefix
    assert ids[-len(suffix) :] == suffix
    assert max(body) < first_added

    mention_tags = ["<mention>", "</mention>"]
    tags = TAG.findall(tokenizer.decode(body))
    assert tags == ["<Instruct>", *mention_tags, "\n<Query>", *mention_tags, "\n<Document>"]


@settings(max_examples=300)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_the_ids_of_the_parts_are_the_ids_of_the_whole(
    tokenizer: Tokenizer, builder: PromptBuilder, candidate, before: str, after: str, label: str
) -> None:
    window, found = Window(before, "Fieber", after), candidate(label, description=after)
    body = (
        f"<Instruct>: {INSTRUCTION}\n<Query>: {builder.query(window)}\n"
        f"<Document>: {builder.document(found)}"
    )
    plain = Tokenizer(tokenizer.model)
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    ids = tokenizer.encode(PREFIX).ids + plain.encode(body).ids + tokenizer.encode(SUFFIX).ids
    assert whole(builder, window, found) == ids


@pytest.mark.parametrize("mention", ["\u0338yes", "\u0327\u0338\u0338yes", "\u0338"])
def test_a_combining_stroke_leaves_the_marker_whole(
    tokenizer: Tokenizer, builder: PromptBuilder, mention: str
) -> None:
    read = tokenizer.decode(builder.head(Window("a", mention, "\u0338b")))
    assert read.count("<mention>") == read.count("</mention>") == 1


def test_half_a_surrogate_pair_is_read_as_a_question_mark(
    builder: PromptBuilder, tokenizer: Tokenizer
) -> None:
    read = tokenizer.decode(builder.head(Window("a \ud83d ", "flu", "")))
    assert read == "<Query>: a ? <mention>flu</mention>\n"


def test_a_long_window_is_cut_evenly_around_the_mention(tokenizer: Tokenizer) -> None:
    builder = PromptBuilder(tokenizer, window_tokens=21)
    window = Window(" left" * 25_000, " mention", " right" * 25_000)
    expected = " left" * 10 + "<mention> mention</mention>" + " right" * 10
    assert builder.query(window) == expected.strip()


def test_a_window_is_cut_between_words(tokenizer: Tokenizer) -> None:
    builder = PromptBuilder(tokenizer, window_tokens=13)
    word = "electroencephalographically"
    query = builder.query(Window(f"{word} of a ", "fever", f" in a {word}"))
    assert query == "of a <mention>fever</mention> in a"


@given(st.text(max_size=200), st.text(min_size=1, max_size=50), st.text(max_size=200))
def test_a_window_keeps_to_its_budget(
    tokenizer: Tokenizer, before: str, mention: str, after: str
) -> None:
    builder = PromptBuilder(tokenizer, window_tokens=24)
    query = builder.query(Window(before, mention, after))
    assert len(tokenizer.encode(query, add_special_tokens=False).ids) <= 24 + 12


def test_a_side_of_the_window_takes_the_room_the_other_leaves(tokenizer: Tokenizer) -> None:
    builder = PromptBuilder(tokenizer, window_tokens=21)
    window = Window("", "mention", " right" * 99)
    assert builder.query(window) == "<mention>mention</mention>" + " right" * 20


def test_a_mention_too_long_for_the_window_is_cut_in_sight(tokenizer: Tokenizer) -> None:
    builder = PromptBuilder(tokenizer, window_tokens=8)
    window = Window("before ", "word" + " word" * 99, " after")
    assert builder.query(window) == "<mention>word" + " word" * 6 + "…</mention>"


def test_a_document_fits_its_budget_and_ends_in_sight(tokenizer: Tokenizer, candidate) -> None:
    builder = PromptBuilder(tokenizer, candidate_tokens=32)
    document = builder.document(candidate(description="supply " * 100))
    assert document.startswith("myocardial infarction; Herzinfarkt; Infarkt (disease): supply")
    assert document.endswith("supply…")
    assert 30 <= len(tokenizer.encode(document).ids) <= 34


def test_further_names_leave_half_of_the_budget_to_the_description(
    tokenizer: Tokenizer, candidate
) -> None:
    builder = PromptBuilder(tokenizer, candidate_tokens=64)
    names = ("Infarkt", *(f"heart attack {n}" for n in range(20)))
    document = builder.document(candidate(names=names, description="supply " * 100))
    title, _, description = document.partition("; … (disease): ")
    assert title.startswith("myocardial infarction; Herzinfarkt; Infarkt; heart attack 0")
    assert 24 <= len(tokenizer.encode(title).ids) <= 32
    assert description.startswith("supply")
    assert description.endswith("supply…")
    # Without a description they may fill it.
    document = builder.document(candidate(names=names, description=""))
    assert document.startswith(title)
    assert document.endswith("; … (disease)")
    assert 56 <= len(tokenizer.encode(document).ids) <= 66


def test_the_first_names_are_cut_only_when_they_alone_are_too_long(
    tokenizer: Tokenizer, candidate
) -> None:
    builder = PromptBuilder(tokenizer, candidate_tokens=32)
    document = builder.document(candidate("acid " * 100, description="a description"))
    assert document.endswith("acid… (disease): …")
    assert len(tokenizer.encode(document).ids) <= 36


@settings(max_examples=200)
@given(HOSTILE, HOSTILE, st.lists(HOSTILE, max_size=6), HOSTILE)
def test_a_document_keeps_to_its_budget_and_says_where_it_is_cut(
    tokenizer: Tokenizer, candidate, label: str, matched: str, names: list[str], description: str
) -> None:
    found = candidate(label, matched=matched, names=tuple(names), description=description)
    cut = PromptBuilder(tokenizer, candidate_tokens=32).document(found)
    uncut = PromptBuilder(tokenizer, candidate_tokens=10_000).document(found)
    assert len(tokenizer.encode(cut, add_special_tokens=False).ids) <= 32 + 6
    assert cut == uncut or cut.count("…") > 0


@pytest.mark.parametrize(
    ("found", "document"),
    [
        ({}, "aspirin; ASS; Aspirin 100 (chemical, other): painkiller"),
        ({"description": ""}, "aspirin; ASS; Aspirin 100 (chemical, other)"),
        ({"types": ()}, "aspirin; ASS; Aspirin 100: painkiller"),
        ({"matched": "ASPIRIN", "names": (" Aspirin", ""), "types": ()}, "aspirin: painkiller"),
        (
            {"description": "pain\n\nkiller"},
            "aspirin; ASS; Aspirin 100 (chemical, other): pain killer",
        ),
    ],
)
def test_a_document_says_what_is_known(
    builder: PromptBuilder, candidate, found: dict, document: str
) -> None:
    known = {"matched": "ASS", "names": ("Aspirin 100",), "types": ("chemical", "other")}
    known["description"] = "painkiller"
    aspirin: Candidate = candidate("aspirin", **{**known, **found})
    assert builder.document(aspirin) == document


def test_a_tokenizer_of_another_family_is_refused() -> None:
    other = Tokenizer(BPE({"yes": 0, "no": 1}, []))
    with pytest.raises(ValueError, match=r"no token <\|im_start\|>"):
        PromptBuilder(other)
