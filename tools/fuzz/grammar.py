"""Expressions made from the grammars of the two languages, most of them well-formed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_WORDS = ("a", "list", "text", "nested", "missing", "x", "__class__", "_", "$", "é", "none")
_NUMBERS = ("0", "1", "-1", "2", "3.5", "1000", "99999", "1000000000", "1" * 30)
_YAQL_UNARY = (
    *("len()", "first()", "last()", "toList()", "toSet()", "distinct()", "keys()", "values()", "reverse()"),
    *(
        "flatten()",
        "sum()",
        "max()",
        "toUpper()",
        "trim()",
        "toDict($)",
        "isEmpty()",
        "enumerate()",
        "memorize()",
    ),
    *("cycle()", "any()", "all()", "single()", "items()", "defaultIfEmpty([])", "toCharArray()", "norm()"),
)
_YAQL_LAMBDA = (
    *("select", "where", "selectMany", "orderBy", "groupBy", "takeWhile", "skipWhile", "toDict", "aggregate"),
    *("accumulate", "any", "all", "indexWhere", "splitWhere", "sliceWhere", "repeat", "generate", "count"),
)
_YAQL_CALLS = (
    *(
        "str",
        "int",
        "float",
        "list",
        "dict",
        "set",
        "range",
        "sequence",
        "bool",
        "json_dump",
        "json_pp",
        "json_parse",
    ),
    *(
        "yaml_parse",
        "yaml_dump",
        "isString",
        "min",
        "max",
        "sum",
        "random",
        "now",
        "datetime",
        "timespan",
        "regex",
    ),
    *(
        "concat",
        "abs",
        "sign",
        "hex",
        "pow",
        "repeat",
        "zip",
        "switch",
        "coalesce",
        "env",
        "task",
        "execution",
        "uuid",
    ),
)
_YAQL_OPERATORS = (
    "+",
    "-",
    "*",
    "/",
    "mod",
    "=",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "and",
    "or",
    "in",
    "=~",
    "!~",
    "->",
    ".",
    "?.",
)
_JINJA_FILTERS = (
    *(
        "abs",
        "attr('__class__')",
        "batch(3)",
        "batch(99999999)",
        "capitalize",
        "center(10)",
        "center(999999999)",
    ),
    *(
        "default(1)",
        "dictsort",
        "escape",
        "first",
        "float",
        "format(1, 2)",
        "groupby('a')",
        "indent(4)",
        "int",
        "items",
    ),
    *(
        "join(',')",
        "last",
        "length",
        "list",
        "lower",
        "map('upper')",
        "map(attribute='a')",
        "max",
        "min",
        "pprint",
    ),
    *(
        "random",
        "reject('none')",
        "replace('a', 'b')",
        "reverse",
        "round(2)",
        "round(999999)",
        "select",
        "slice(3)",
    ),
    *(
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "tojson",
        "trim",
        "truncate(3)",
        "unique",
        "upper",
        "urlencode",
    ),
    *("urlize", "wordcount", "wordwrap(3)", "xmlattr", "json_parse", "yaml_dump", "filesizeformat", "safe"),
)
_JINJA_METHODS = (
    *(
        "upper()",
        "split()",
        "format(1)",
        "join([1])",
        "items()",
        "keys()",
        "append(1)",
        "update({})",
        "pop()",
        "mro()",
    ),
    *(
        "__class__",
        "__subclasses__()",
        "zfill(99)",
        "ljust(99999999)",
        "encode()",
        "replace('a', 'aa')",
        "get('a')",
    ),
)
_JINJA_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "and", "or", "in", "is")


class Grammar:
    """Makes expressions; ``depth`` bounds how far they nest."""

    def __init__(self, random: Random, depth: int = 4) -> None:
        self._random = random
        self._depth = depth

    def text(self) -> str:
        """Return a text with one or several expressions of one language."""
        one, opening, closing = self._random.choice(
            (
                (self.yaql, "<% ", " %>"),
                (self.jinja, "{{ ", " }}"),
                (self._block, "", ""),
            )
        )
        count = self._random.choice((1, 1, 1, 2, 3))
        joint = self._random.choice(("", " ", " and "))
        return joint.join(f"{opening}{one(self._depth)}{closing}" for _ in range(count))

    def yaql(self, depth: int) -> str:
        """Return a YAQL expression without its delimiters."""
        choose = self._random.choice
        if depth <= 0:
            return choose(
                (f"$.{choose(_WORDS)}", "$", choose(_NUMBERS), f"'{self._quoted()}'", "[]", "{}", "null")
            )
        return choose(
            (
                lambda: f"{self.yaql(depth - 1)}.{choose(_YAQL_UNARY)}",
                lambda: f"{self.yaql(depth - 1)}.{choose(_YAQL_LAMBDA)}({self.yaql(depth - 2)})",
                lambda: f"{choose(_YAQL_CALLS)}({self.yaql(depth - 1)})",
                lambda: f"{choose(_YAQL_CALLS)}({self.yaql(depth - 2)}, {self.yaql(depth - 2)})",
                lambda: f"({self.yaql(depth - 1)} {choose(_YAQL_OPERATORS)} {self.yaql(depth - 1)})",
                lambda: f"[{self.yaql(depth - 1)}, {self.yaql(depth - 1)}]",
                lambda: f"{{{choose(_WORDS[:6])} => {self.yaql(depth - 1)}}}",
                lambda: f"let(v => {self.yaql(depth - 1)}) -> {self.yaql(depth - 1)}",
                lambda: f"{self.yaql(depth - 1)}[{self.yaql(depth - 2)}]",
                lambda: self.yaql(0),
            )
        )()

    def jinja(self, depth: int) -> str:
        """Return a Jinja2 expression without its delimiters."""
        choose = self._random.choice
        if depth <= 0:
            return choose(
                (f"_.{choose(_WORDS)}", "_", choose(_NUMBERS), f"'{self._quoted()}'", "[]", "{}", "none")
            )
        return choose(
            (
                lambda: f"({self.jinja(depth - 1)}) | {choose(_JINJA_FILTERS)}",
                lambda: f"({self.jinja(depth - 1)}).{choose(_JINJA_METHODS)}",
                lambda: f"({self.jinja(depth - 1)}).{choose(_WORDS)}",
                lambda: f"({self.jinja(depth - 1)} {choose(_JINJA_OPERATORS)} {self.jinja(depth - 1)})",
                lambda: f"[{self.jinja(depth - 1)}, {self.jinja(depth - 1)}]",
                lambda: f"{{'{choose(_WORDS)}': {self.jinja(depth - 1)}}}",
                lambda: f"({self.jinja(depth - 1)})[{self.jinja(depth - 2)}]",
                lambda: f"({self.jinja(depth - 1)} if {self.jinja(depth - 2)} else {self.jinja(depth - 2)})",
                lambda: f"range({choose(_NUMBERS)})",
                lambda: (
                    f"{choose(('dict', 'namespace', 'cycler', 'joiner', 'lipsum', 'task', 'env'))}({self.jinja(0)})"
                ),
                lambda: self.jinja(0),
            )
        )()

    def _block(self, depth: int) -> str:
        choose = self._random.choice
        inner: Callable[[], str] = lambda: f"{{{{ {self.jinja(depth - 2)} }}}}"  # noqa: E731 - one of several
        return choose(
            (
                lambda: f"{{% for i in {self.jinja(depth - 2)} %}}{inner()}{{{{ i }}}}{{% endfor %}}",
                lambda: f"{{% if {self.jinja(depth - 2)} %}}{inner()}{{% else %}}{inner()}{{% endif %}}",
                lambda: f"{{% set v = {self.jinja(depth - 2)} %}}{{{{ v }}}}{inner()}",
                lambda: f"{{% macro m(n) %}}{inner()}{{{{ n }}}}{{% endmacro %}}{{{{ m(m(1)) }}}}",
                lambda: f"{{% filter upper %}}{inner()}{{% endfilter %}}",
                lambda: f"{{% raw %}}{inner()}{{% endraw %}}{inner()}",
                lambda: "{% include 'a' %}",
                lambda: (
                    f"{{% set n = namespace(x={self.jinja(0)}) %}}{{% for i in range(9) %}}"
                    f"{{% set n.x = [n.x, n.x] %}}{{% endfor %}}{{{{ n.x }}}}"
                ),
            )
        )()

    def _quoted(self) -> str:
        return self._random.choice(
            ("a", "", "(a+)+$", "%s %d", "{0.__class__}", "aaaa", "&a *a", "1:1:1", "[1, 2]")
        )
