"""The plan of an import, as a pure function."""

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.diff import State, diff, matches
from bootstrap.entries import SECTIONS, Account, Document, Entry, Guide, SecretName

names = st.text("aAbB", min_size=1, max_size=2)
guides = st.lists(st.builds(Guide, names, st.sampled_from(["x", "y"])), unique_by=lambda one: one.name)
once = st.lists(st.builds(Guide, names, st.sampled_from(["x", "y"])), unique_by=lambda one: one.key)
modes = st.sampled_from(["merge", "replace"])


def state(**sections: list[Entry]) -> State:
    return State("Saltmarsh", "", {name: sections.get(name, []) for name in SECTIONS})


@given(before=guides, wanted=st.none() | once, mode=modes)
def test_the_numbers_add_up_in_both_modes(before: list[Guide], wanted: list[Guide] | None, mode: str) -> None:
    sections = {} if wanted is None else {"style_guides": tuple(wanted)}
    one = diff(state(style_guides=before), Document(mode, None, sections)).sections["style_guides"]
    assert one.after_count == one.created + one.updated + one.unchanged
    assert one.before_count == one.deleted + one.updated + one.unchanged == len(before)
    if wanted is None:
        assert [step.entry for step in one.steps] == before
    if one.replaced:
        assert [step.entry for step in one.steps] == wanted


@given(before=once, mode=modes)
def test_what_is_there_already_changes_nothing(before: list[Guide], mode: str) -> None:
    one = diff(state(style_guides=before), Document(mode, None, {"style_guides": tuple(before)}))
    assert not one.sections["style_guides"].changed
    assert not one.project_updated


@given(before=guides, wanted=once, mode=modes)
def test_after_an_import_the_same_one_changes_nothing(
    before: list[Guide], wanted: list[Guide], mode: str
) -> None:
    document = Document(mode, None, {"style_guides": tuple(wanted)})
    after = [step.entry for step in diff(state(style_guides=before), document).sections["style_guides"].steps]
    assert len({one.name for one in after}) == len(after)
    assert not diff(state(style_guides=after), document).sections["style_guides"].changed


def test_of_two_rows_that_differ_in_case_the_exact_one_is_meant_else_the_newest() -> None:
    before = [Guide("CORE"), Guide("core")]
    assert matches(before, [Guide("core")]) == [1]
    assert matches(before, [Guide("Core")]) == [0]


def test_only_ascii_letters_lose_their_case() -> None:
    assert matches([Guide("Ärger")], [Guide("ärger")]) == [None]


def test_true_is_not_1_and_1_is_1_0() -> None:
    def changed(one: object, other: object) -> bool:
        before = state(provider_accounts=[Account("openai", config={"a": one})])
        wanted = Document("merge", None, {"provider_accounts": (Account("openai", config={"a": other}),)})
        return diff(before, wanted).sections["provider_accounts"].changed

    assert changed(1, True)
    assert not changed(1, 1.0)


def test_secrets_are_never_replaced() -> None:
    before = state(secrets=[SecretName("openai", "api_key", has_value=True)])
    one = diff(before, Document("replace", None, {"secrets": ()})).sections["secrets"]
    assert (one.replaced, one.deleted, one.unchanged) == (False, 0, 1)


@given(before=guides, wanted=once, mode=modes, data=st.data())
def test_what_is_left_out_stays_whatever_the_mode(
    before: list[Guide], wanted: list[Guide], mode: str, data: st.DataObject
) -> None:
    keys = sorted({one.key_text for one in [*before, *wanted]})
    kept = frozenset(data.draw(st.sets(st.sampled_from(keys)))) if keys else frozenset()
    left_out = frozenset(("style_guides", key) for key in kept)
    plan = diff(
        state(style_guides=before), Document(mode, None, {"style_guides": tuple(wanted)}, (), left_out)
    )
    one = plan.sections["style_guides"]
    after = [step.entry for step in one.steps]
    assert [entry for entry in before if entry.key_text in kept] == [
        entry for entry in after if entry.key_text in kept
    ]
    assert one.after_count == one.created + one.updated + one.unchanged
    assert one.before_count == one.deleted + one.updated + one.unchanged == len(before)


@given(before=guides, other=guides)
def test_a_fingerprint_is_the_same_for_the_same_settings_in_any_order(
    before: list[Guide], other: list[Guide]
) -> None:
    def fingerprint(entries: list[Guide]) -> str:
        return state(style_guides=entries).fingerprint

    assert fingerprint(before) == fingerprint(before[::-1])
    same = sorted(before, key=repr) == sorted(other, key=repr)
    assert (fingerprint(before) == fingerprint(other)) == same


def test_limits_that_are_not_named_stay_and_named_ones_count() -> None:
    before = state(provider_accounts=[Account("openai", limits=(3, None))])

    def after(limits: tuple[int | None, ...]) -> tuple[bool, object]:
        wanted = Document("replace", None, {"provider_accounts": (Account("openai", limits=limits),)})
        one = diff(before, wanted).sections["provider_accounts"]
        return one.changed, one.steps[0].entry.limits

    assert after(()) == (False, (3, None))
    assert after((3, None)) == (False, (3, None))
    assert after((None, None)) == (True, (None, None))
