"""Expressions that are known to stop, fill or break out of evaluators; each must end as an error, and soon."""

from __future__ import annotations

ENDLESS = (
    "<% range(1000000000).len() %>",
    "<% range(1000000000).select($ * 2).sum() %>",
    "<% generate(1, true, $ + 1).len() %>",
    "<% sequence().aggregate($1 + $2) %>",
    "<% [1].cycle().len() %>",
    "<% def(f, switch($ < 2 => 1, true => f($ - 1) + f($ - 2))) -> f(40) %>",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n-1) ~ m(n-1) if n else 'x' }}{% endmacro %}{{ m(40) }}",
    "{{ range(99999) | map('string') | map('length') | list | length ~ (range(99999) | sum) ** 9999 }}",
    "<% yaml_parse('1' + ':1' * 400000) %>",
)
REGULAR = (
    "<% regex('(a+)+$').matches($.text) %>",
    "<% $.text =~ '^(a|a)*$' %>",
    "<% $.text.matches('(.*a){25}') %>",
    "<% regex('(a*)*b').search($.text) %>",
    "<% $.text.replaceBy(regex('(a+)+$'), b) %>",
    "<% regex('(x+x+)+y').split('x' * 99) %>",
)
HUGE = (
    "<% 'x' * 1000000000000 %>",
    "<% [0] * 1000000000000 %>",
    "<% pow(10, 1000000000) %>",
    "<% pow(2, pow(2, 60000), pow(2, 60000) - 1) %>",
    "<% shiftBitsLeft(1, 100000000000) %>",
    "<% $.text.replace(a, $.text).replace(a, $.text).replace(a, $.text) %>",
    "<% range(60).aggregate([$1, $1], [1]) %>",
    "<% let(a => range(50).aggregate([$1, $1], [1])) -> $a = range(50).aggregate([$1, $1], [1]) %>",
    "<% range(999999).select({a => $, b => [$]}).toList().select([$, $]).toList() %>",
    "{{ 'x' * 10 ** 12 }}",
    "{{ 10 ** (10 ** 9) }}",
    "{{ 'x' | center(10 ** 12) }}",
    "{{ '%1000000000000d' % 1 }}",
    "{{ '{:>1000000000000}'.format(1) }}",
    "{{ lipsum(n=999999) }}",
    "{{ [[1]] * 999999999 }}",
    "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    (
        "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(50) %}{% set n.x = [n.x, n.x] %}"
        "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}"
    ),
)
DEEP = (
    "<% def(f, f($)) -> f(1) %>",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "<% " + "(" * 5000 + "1" + ")" * 5000 + " %>",
    "<% " + "[" * 3000 + "]" * 3000 + " %>",
    "{{ " + "-" * 5000 + "1 }}",
    "<% json_parse('[' * 200000) %>",
    "{{ json_parse('[' * 200000) }}",
    "<% yaml_parse('[' * 20000) %>",
)
ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ _ | attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}",
    "{{ '{0.__class__}' | format(1) ~ '{0.__class__}'.format_map({'0': 1}) }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__['os'] }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ range.__class__.__base__ }}",
    "{{ dict.__base__.__subclasses__() }}",
    "{{ (().__class__.__bases__[0].__subclasses__()) | list }}",
    "{{ task.__globals__ }}",
    "{{ task.__code__.co_consts }}",
    "{{ uuid.__closure__[0].cell_contents }}",
    "{{ _.__class__.__init__.__globals__ }}",
    "{{ _._expression_data.__class__ }}",
    "{{ ([1] | map('attr', '__class__') | list)[0].__mro__ }}",
    "{{ [''] | map(attribute='__class__.__mro__') | list | string }}",
    "{{ (1).__class__.__base__ }}",
    "{{ url_for.__globals__ }}",
    "{{ config.items() }}",
    "{{ request.application }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
    "{% set f = [].append.__self__.__class__ %}{{ f }}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}{{ m._func.__globals__ }}",
    "{% call(x) self.a() %}{{ x.__class__ }}{% endcall %}",
    "{% autoescape true %}{{ ''.__class__ }}{% endautoescape %}",
    "{{ (lipsum)() .__class__ }}",
    "<% $.__class__ %>",
    "<% ''.__class__ %>",
    "<% '{0.__class__}'.format(1) %>",
    "<% call('__import__', ['os'], {}) %>",
    "<% __import__(os) %>",
    "<% let(a => $) -> $a.__init__ %>",
    "<% yaml_parse('!!python/object/apply:os.system [id]') %>",
    "{{ yaml_parse('!!python/name:os.system') }}",
)

ALL = (*ENDLESS, *REGULAR, *HUGE, *DEEP, *ESCAPES)

DATA = {
    "text": "a" * 400 + "!",
    "list": [3, 1, 2, {"a": [1, "x"]}],
    "nested": {"a": {"b": {"c": None}}},
    "a": 1,
    "x": "é",
}
"""What the expressions are evaluated over."""
