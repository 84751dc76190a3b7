"""What the hardened YAML loader accepts, how it types it, and what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonValue
from mistral_lite.lang.loader import Limits, find_duplicates, load, load_document, load_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True),
        ("[off, FALSE]", [False, False]),
        ("y", "y"),
        ("017", 15),
        ("0o17", "0o17"),
        ("1_000", 1000),
        ("1:30", 90),
        ("1e3", "1e3"),
        ("1.0e+3", 1000.0),
        ("2.0", 2.0),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00.000000"),
        ("2026-01-31 10:00:00.5 +02:00", "2026-01-31T10:00:00.500000"),
        ("<% $.x %>", "<% $.x %>"),
        ("'~'", "~"),
        ("!!str 1", "1"),
        ("!!int '7'", 7),
        ("! 1", 1),
        ("=", "="),
        ("12345678901234567890123", 12345678901234567890123),
        # Anchors, aliases and a leading @ are ordinary text.
        ("&x 1", "&x 1"),
        ("*x", "*x"),
        ("@home", "@home"),
        ("[&a b, *a, '@c']", ["&a b", "*a", "@c"]),
        ("{*a : 1}", {"*a": 1}),
        ("a * b & c", "a * b & c"),
        # Keys that are no text become what JSON makes of them.
        (
            "{1: a, on: b, ~: c, 1.5: d, 2026-01-31: e}",
            {"1": "a", "true": "b", "null": "c", "1.5": "d", "2026-01-31": "e"},
        ),
        ("{a: 1, a: 2}", {"a": 2}),
        ("{<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}),
        ("{b: 3, <<: [{a: 1}, {a: 2, c: 4}]}", {"a": 1, "c": 4, "b": 3}),
        ("{st: <% set(1,2) %>}", {"st": "<% set(1", "2) %>": None}),
        ("{{ _.x }}", None),
        # Nothing, in its many spellings.
        ("", {}),
        ("~", {}),
        ("# comment", {}),
        ("[]", {}),
        ("0", {}),
        ("''", {}),
    ],
)
def test_typing(text: str, expected: JsonValue) -> None:
    if expected is None:
        with pytest.raises(DefinitionError, match="the key in line 1 is a collection"):
            load_value(text)
        return
    value = load_value(text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: [1", "line 1"),
        ("a: 1\n b: 2", "line 2, column 3"),
        ("a:\n\t- b", "cannot start any token"),
        ("a: \x01", "#x0001"),
        ("a: `b`", "cannot start any token"),
        ("a: \ud800", "#xd800"),
        ("--- a\n--- b", "single document, another one starts in line 2"),
        ("a: !!python/object:os.system {}", "python/object:os.system' in line 1 is not supported"),
        ("a: !!python/name:os.system", "is not supported"),
        ("a: !custom 1", "'!custom'"),
        ("a: !!binary aGVsbG8=", "is not supported"),
        ("a: !!set {b}", "is not supported"),
        ("a: !!map [b]", "is not supported"),
        ("a: !!int", "does not fit its type 'int'"),
        ("a: !!int x", "does not fit its type 'int'"),
        ("a: !!bool maybe", "does not fit its type 'bool'"),
        ("a: !!timestamp soon", "does not fit its type 'timestamp'"),
        ("a: 2026-99-99", "quote it"),
        ("a: " + "9" * 5000, "does not fit its type 'int'"),
        ("? [a]\n: b", "is a collection"),
        ("<<: *base", "merge key '<<' in line 1"),
        ("<<: [{a: 1}, 2]", "merge key"),
    ],
)
def test_refused(text: str, fragment: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_value(text)
    assert caught.value.message.startswith("Definition could not be parsed: ")
    assert fragment in caught.value.message


@pytest.mark.parametrize("text", ["[1]", "abc", "1.5"])
def test_load_wants_a_mapping(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"Invalid DSL: .* not of type 'object'"):
        load(text)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[*b, "])
def test_deep_nesting_is_refused_at_once(opening: str) -> None:
    with pytest.raises(DefinitionError, match=r"nested deeper than 200 levels|could not be parsed"):
        load(opening * 50_000)


def test_depth_limit_is_exact() -> None:
    assert load_value("[" * 5 + "1" + "]" * 5, Limits(max_depth=5)) == [[[[[1]]]]]
    with pytest.raises(DefinitionError, match="deeper than 4 levels"):
        load_value("[" * 5 + "1" + "]" * 5, Limits(max_depth=4))


def test_size_limit() -> None:
    assert load("a: 12345", Limits(max_chars=8)) == {"a": 12345}
    with pytest.raises(DefinitionError, match="it has 9 characters, 8 are allowed"):
        load("a: 123456", Limits(max_chars=8))


def test_alias_bomb_is_text() -> None:
    lines = ["a: &a [x, x]"]
    lines += [
        f"{after}: &{after} [*{before}, *{before}]"
        for before, after in zip("abcdefg", "bcdefgh", strict=True)
    ]
    # The anchor makes a plain text, which may not be followed by a collection's opening bracket and more.
    value = load("\n".join(lines))
    assert value["a"] == "&a [x, x]"
    assert value["h"] == "&h [*g, *g]"


def test_lines_dates_and_odd_keys() -> None:
    document = load_document("a:\n  b:\n  - x\n  - y: 2026-01-31\n  1: z\n")
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "b", 1, "y")) == 4
    assert document.line(("a", "b", 0, "no", "such")) == 3
    assert document.line(("nowhere",)) is None
    assert document.dates == {("a", "b", 1, "y")}
    assert document.odd_keys == {("a", "1")}


def test_duplicates_are_told_with_both_lines() -> None:
    found = find_duplicates("a:\n  b: 1\n  c: 2\n  b: 3\nd: 4\nd: 5\n")
    assert [text.split(";")[0] for text in found] == [
        "line 4: the key 'b' is written again, first in line 2",
        "line 6: the key 'd' is written again, first in line 5",
    ]
    assert find_duplicates("a: {b: 1}\nc: {b: 1}") == []


_PIECES = (
    *(
        "a",
        "b: ",
        "- ",
        "\n",
        "\n  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        ": ",
        '"',
        "'",
        "|",
        ">",
        "#",
        "? ",
        "!",
        "!!int ",
    ),
    *("%", "@", "&a ", "*a", "<<: ", "<% $.x %>", "1", "~", "2026-01-31", "on", "---", "\t", "é", "\ufeff"),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)))
def test_any_text_loads_or_is_refused(text: str) -> None:
    with contextlib.suppress(DefinitionError):
        load_document(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([piece for piece in _PIECES if "\n" not in piece]), max_size=12).map("".join))
def test_an_anchor_elsewhere_changes_nothing(text: str) -> None:
    # What looks like an anchor sends the whole text to the slower parser.
    assert _verdict(f"- {text}\n- end\n") == _verdict(f"- {text}\n- &end\n").replace("&end", "end")


def _verdict(text: str) -> str:
    try:
        return repr(load_value(text))
    except DefinitionError:
        return "refused"
