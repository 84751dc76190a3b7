"""The one-line parameter syntax, oddities included."""

from __future__ import annotations

import pytest

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject
from mistral_lite.lang import inline


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1", {"x": 1}),
        ("x=1.5", {"x": 1}),
        ("x=12ab", {"x": 12}),
        ("x=-5", {}),
        ("x=abc", {}),
        ("x=TRUE", {}),
        ("x=trueish", {"x": True}),
        ("x=false", {"x": False}),
        ("x=null", {"x": None}),
        ('x={"a": 1}', {}),
        ("x=[1, 2]", {"x": [1, 2]}),
        ("x=['a']", {"x": "['a']"}),
        ("x=[1] y=[2]", {"x": "[1] y=[2]"}),
        ("x=[1\n] y=2", {"y": 2}),
        ("x=[] y=2", {"x": [], "y": 2}),
        ("x = 1", {}),
        ("x.y=3", {"y": 3}),
        ("a-b_c=3", {"a-b_c": 3}),
        # The one addition to the old grammar: the published how-to writes it so.
        ("url=http://h/p", {"url": "http://h/p"}),
        ("url=http://h:80/p?a=1&b=2 x=1", {"url": "http://h:80/p?a=1&b=2", "x": 1}),
        ("url=http://<% $.h %>/p", {}),
        ("url=http://h/<% $.p %>", {}),
        ("url=http://", {}),
        ('url="http://h/p?a=1"', {"url": "http://h/p?a=1"}),
        ("x='it''s'", {"x": "it"}),
        ('x="<% $.a %>" y=<% $.b %>', {"x": "<% $.a %>", "y": "<% $.b %>"}),
        ("x=<% $.a > 1 %>", {"x": "<% $.a > 1 %>"}),
        ("x={{ _.a }} y={{ _.b }}", {"x": "{{ _.a }}", "y": "{{ _.b }}"}),
        ("x=<% $.a\n %> y=1", {"y": 1}),
        ('x="1"', {"x": "1"}),
        ("x='null'", {"x": "null"}),
        ('x="a\nb"', {"x": "a\nb"}),
        ("x=1 x=2", {"x": 2}),
        ("x=012", {"x": "012"}),
        ("x=1y=2", {"x": 1, "y": 2}),
        ("x=12ab=3", {"x": 12, "ab": 3}),
        ('x="open y=1', {"y": 1}),
        ("x=" + "[" * 5000 + "]" * 5000, {"x": "[" * 5000 + "]" * 5000}),
        ("x=" + "9" * 5000, {"x": "9" * 5000}),
    ],
)
def test_parameters(text: str, expected: JsonObject) -> None:
    assert inline.split(f"act {text}") == ("act", expected)


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("std.echo", "std.echo", {}),
        ("std.echo\toutput=1", "std.echo\toutput=1", {}),
        ("x=1", "x=1", {}),
        ("a-b/c x=1", "a-b/c", {"x": 1}),
        ("ns:act x=1", "ns:act", {"x": 1}),
        ("act(x=1) y=2", "act", {"x": 1, "y": 2}),
        ("<% $.act %> x=<% $.b %>", "<% $.act %>", {"x": "<% $.b %>"}),
        ("{{ _.act }} x={{ _.b }}", "{{ _.act }}", {"x": "{{ _.b }}"}),
        ("{% if a %}b x=1", "{% if a %}", {"x": 1}),
        ("sub_<%$.kind%>", "sub_<%$.kind%>", {}),
        ("sub_<% $.kind %>", "sub_<%", {}),
    ],
)
def test_names(text: str, name: str, parameters: JsonObject) -> None:
    assert inline.split(text) == (name, parameters)


@pytest.mark.parametrize("text", [" act x=1", "= x=1", "(a b)", "{ a }"])
def test_without_a_name(text: str) -> None:
    with pytest.raises(DefinitionError, match="Invalid action/workflow task property"):
        inline.split(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("std.echo", ()),
        ("std.echo output=1", ()),
        ('std.echo output="a b" x=1', ()),
        ("std.echo output=abc", ("output=abc",)),
        ("std.http url=http://<% $.h %> method=1 x=-5", ("url=http://<% $.h %>", "x=-5")),
        ("std.echo output=1.5", (".5",)),
    ],
)
def test_leftovers(text: str, expected: tuple[str, ...]) -> None:
    assert inline.leftovers(text) == expected


@pytest.mark.parametrize("piece", ["a", "a=[", 'a="', "a=<%", "a={{", "a='x"])
def test_hostile_texts_take_linear_time(piece: str) -> None:
    # A quadratic scan would need minutes here, and the runner's limit would end it.
    inline.scan(f"act {piece * 60_000}")
