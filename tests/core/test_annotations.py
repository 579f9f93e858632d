"""What is said of a version: the manifest's words, and what was said since, in their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.annotations import About, Annotation

KEYS = st.sampled_from(["a", "b", "c"])
ANNOTATIONS = st.builds(
    Annotation,
    st.dictionaries(KEYS, st.text(max_size=2)),
    st.dictionaries(KEYS, st.floats(allow_nan=False)),
    st.none() | st.text(max_size=2),
    st.frozensets(KEYS),
)
ABOUTS = st.builds(
    About, st.dictionaries(KEYS, st.text(max_size=2)), st.dictionaries(KEYS, st.floats(allow_nan=False)), st.none()
)


@given(ABOUTS, st.lists(ANNOTATIONS, max_size=5))
def test_a_sum_says_what_its_parts_say_one_after_the_other(about: About, parts: list[Annotation]) -> None:
    total, seen = Annotation(), about
    for part in parts:
        total, seen = total.then(part), part.over(seen)
    if any(part.message is not None for part in parts):
        assert total.over(about).message == seen.message
    assert total.over(about).labels == dict(sorted(seen.labels.items()))
    assert total.over(about).metrics == dict(sorted(seen.metrics.items()))


@given(ABOUTS)
def test_saying_nothing_changes_nothing(about: About) -> None:
    assert Annotation().over(about) == about


def test_what_was_taken_away_can_be_given_again() -> None:
    gone = Annotation(unset=frozenset({"a"}))
    again = Annotation(labels={"a": "new"})
    assert gone.then(again).over(About({"a": "old"}, {}, None)).labels == {"a": "new"}
    assert again.then(gone).over(About({"a": "old"}, {}, None)).labels == {}
