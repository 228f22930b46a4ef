"""Word differences, and a plan as people read it."""

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.diff import State, diff
from bootstrap.entries import (
    SECTIONS,
    Account,
    Document,
    Entry,
    Figure,
    Item,
    ProjectPatch,
    RefSet,
    SecretName,
)
from bootstrap.presentation import SectionChange, Shown, shown
from bootstrap.words import MOST_WORDS, Piece, word_changes

words = st.lists(st.sampled_from(["ink", "Ink", "wash", " ", "\n", ",", "ä"]), max_size=12).map("".join)


@given(old=words | st.text(max_size=20), new=words | st.text(max_size=20))
def test_the_pieces_hold_both_texts_whole(old: str, new: str) -> None:
    pieces = word_changes(old, new)
    assert "".join(one.text for one in pieces if one.kind != "new") == old
    assert "".join(one.text for one in pieces if one.kind != "old") == new
    assert all(one.kind == "same" for one in pieces) == (old == new)


def test_only_the_words_that_differ_are_marked() -> None:
    assert word_changes("two grey washes.", "three grey washes.") == (
        Piece("old", "two"),
        Piece("new", "three"),
        Piece("same", " grey washes."),
    )


def test_texts_too_long_to_compare_are_shown_whole() -> None:
    old, new = "a " * MOST_WORDS, "b " * MOST_WORDS
    assert word_changes(old, new) == (Piece("old", old), Piece("new", new))


def state(**sections: list[Entry]) -> State:
    return State("Saltmarsh", "A town", {name: sections.get(name, []) for name in SECTIONS})


def section(plan: Shown, name: str) -> SectionChange:
    return next(one for one in plan.sections if one.section == name)


def planned(before: State, document: Document) -> Shown:
    return shown(before, diff(before, document), document)


def test_changes_come_first_by_kind_and_what_stays_is_only_named() -> None:
    before = state(characters=[Figure("Old"), Figure("Mira", "tall"), Figure("Same")])
    wanted = (Figure("New", "small"), Figure("MIRA", "very tall"), Figure("Same"))
    plan = planned(
        before, Document("replace", ProjectPatch(description="A drowned town"), {"characters": wanted})
    )
    characters = section(plan, "characters")
    assert [(one.kind, one.name, one.value) for one in characters.changes] == [
        ("created", "New", "characters:new"),
        ("updated", "MIRA", "characters:mira"),
        ("deleted", "Old", "characters:old"),
    ]
    assert characters.unchanged == ["Same"]
    assert [(one.label, one.text("new"), one.text("old")) for one in characters.changes[1].fields] == [
        ("Name", "Mira", "MIRA"),
        ("Description", "tall", "very tall"),
    ]
    assert plan.to_do == "Create 1, update 2, delete 1"
    assert plan.deleted_names == ["Old"]
    assert [one.section for one in plan.sections] == ["project", "characters"]


def test_what_was_left_out_is_listed_and_not_counted() -> None:
    before = state(characters=[Figure("Old"), Figure("Mira", "tall")])
    left_out = frozenset({("characters", "old"), ("characters", "mira"), ("characters", "nobody")})
    wanted = {"characters": (Figure("MIRA", "small"),)}
    plan = planned(before, Document("replace", None, wanted, left_out=left_out))
    characters = section(plan, "characters")
    assert characters.left_out == [("characters:mira", "MIRA"), ("characters:old", "Old")]
    assert (characters.changes, characters.unchanged, plan.to_do) == ([], [], "")


def test_items_are_compared_line_by_line() -> None:
    one, two, three = (
        Item("Front", content_text="a\nb"),
        Item("Side", "b.png", sort_order=1),
        Item("Back", "c"),
    )
    before = state(reference_sets=[RefSet("Faces", "", (one, two))])
    plan = planned(before, Document("merge", None, {"reference_sets": (RefSet("Faces", "", (one, three)),)}))
    (field,) = section(plan, "reference_sets").changes[0].fields
    assert [(piece.kind, piece.text) for piece in field.pieces] == [
        ("same", "Front · a b\n"),
        ("old", "Side · b.png · place 1\n"),
        ("new", "Back · c\n"),
    ]


def test_a_credential_is_never_shown() -> None:
    before = state(provider_accounts=[Account("openai", config={"api_key": "sk-hidden-4711"})])
    account = Account("openai", "Studio", config={"api_key": "sk-other-hidden", "model": "m"})
    plan = planned(before, Document("merge", None, {"provider_accounts": (account,)}))
    assert "hidden" not in repr(plan)
    assert [one.label for one in section(plan, "provider_accounts").changes[0].fields] == [
        "Name",
        "Configuration",
    ]


def test_secrets_are_named_by_provider_and_name() -> None:
    wanted = {"secrets": (SecretName("openai", "api_key"),)}
    (change,) = section(planned(state(), Document("merge", None, wanted)), "secrets").changes
    assert (change.name, change.value) == ("openai/api_key", "secrets:openai/api_key")
