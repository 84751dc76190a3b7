"""The YAQL language: parsing once, evaluating over read-only data, guarded library functions.

Owns everything that knows the ``yaql`` library. The library's contexts are subclassed for speed (the functions
of the standard library never change, so looking one up is cached) and to account for what each call returns.
Its parser keeps state between tokens and is not thread-safe: parsing takes a lock, and its results are cached.
"""

from __future__ import annotations

import collections.abc  # noqa: F401 (yaql uses it without importing it)
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaql
from yaql.language import contexts, conventions, exceptions, runner, specs, utils
from yaql.standard_library import collections as std_collections
from yaql.standard_library import math as std_math
from yaql.standard_library import regex as std_regex
from yaql.standard_library import strings as std_strings

from mistral_lite.errors import EvaluationError, ExpressionSyntaxError, UnavailableError
from mistral_lite.expressions.base import EvaluationView, ExpressionSettings, ViewNotReady
from mistral_lite.expressions.fast import FastExpression, accelerate, compile_fast
from mistral_lite.expressions.functions import ExpressionFunction, Scope
from mistral_lite.expressions.growth import yaql_stays_small
from mistral_lite.expressions.limits import Guard, LimitReachedError
from mistral_lite.expressions.messages import describe_cause
from mistral_lite.expressions.plain import PlainConverter, read_only
from mistral_lite.expressions.spans import find_spans, has_span
from mistral_lite.jsontext import JsonValue

# The library has no types of its own.
YaqlNode = Any
YaqlFunction = Any
Arguments = dict[str, Any]

_OPENING, _CLOSING = "<%", "%>"
_DELIMITERS = "<%>"
# Parsing a longer expression may take a moment; it is watched like an evaluation.
_LONG_CHARS = 2000
# The library takes the square of the length of a list to parse it.
_MAX_CHARS = 16_384


def _too_large(expression: str) -> str:
    return f"the expression has {len(expression)} characters, {_MAX_CHARS} are allowed"


@dataclass(frozen=True, slots=True)
class _Parsed:
    """An expression made ready. ``stays_small``: it may be evaluated in the thread of whoever asks."""

    node: YaqlNode
    fast: FastExpression | None
    stays_small: bool


class YaqlLanguage:
    """Detects, checks and evaluates YAQL expressions in texts."""

    name = "yaql"

    def __init__(
        self, settings: ExpressionSettings, guard: Guard, functions: Mapping[str, ExpressionFunction]
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._functions = functions
        self._engine = self._create_engine(settings, guard)
        self._parser_lock = threading.Lock()
        self._library = _create_library(guard, functions, allow_delegates=settings.allow_delegates)
        self._parse = lru_cache(settings.cache_size)(self._parse_uncached)
        # The library alone estimates memory and measures collections, and some options change what a dot
        # means, what lists are, or how a text shows data.
        self._is_fast = (
            settings.memory_quota_bytes <= 0
            and settings.limit_iterators < 0
            and settings.convert_input_data
            and settings.convert_tuples_to_lists
            and not settings.iterable_dicts
        )

    @staticmethod
    def _create_engine(settings: ExpressionSettings, guard: Guard) -> Any:
        factory = yaql.YaqlFactory(
            keyword_operator=settings.keyword_operator, allow_delegates=settings.allow_delegates
        )
        return factory.create(
            options={
                "yaql.limitIterators": guard.max_items,
                "yaql.memoryQuota": settings.memory_quota_bytes,
                "yaql.convertTuplesToLists": settings.convert_tuples_to_lists,
                "yaql.convertSetsToLists": settings.convert_sets_to_lists,
                "yaql.iterableDicts": settings.iterable_dicts,
            }
        )

    def is_found_in(self, text: str) -> bool:
        """Tell whether ``text`` holds a YAQL expression."""
        return has_span(text, _OPENING, _CLOSING)

    def check_syntax(self, text: str) -> None:
        """Raise ``ExpressionSyntaxError`` if an expression in ``text`` cannot be parsed."""
        for start, end in find_spans(text, _OPENING, _CLOSING):
            match = text[start:end]
            if len(match) > _MAX_CHARS:
                raise ExpressionSyntaxError(_too_large(match), expression=match)
            try:
                self._parse(match.strip(_DELIMITERS))
            except exceptions.YaqlParsingException as error:
                raise ExpressionSyntaxError(str(error), expression=match) from error
            except (RecursionError, ValueError) as error:
                cause = describe_cause(error, match)
                raise ExpressionSyntaxError(f"Syntax error: {cause}.", expression=match) from error

    def evaluate(self, text: str, context: Mapping[str, JsonValue], view: EvaluationView | None) -> JsonValue:
        """Return the typed result of a text that is one expression, else the text with results inserted."""
        spans = list(find_spans(text, _OPENING, _CLOSING))
        if spans == [(0, len(text))]:
            return self._evaluate_one(text, context, view, for_text=False)
        # Equal expressions in one text have equal results, `uuid()` included; workflows rely on it.
        results: dict[str, str] = {}
        pieces: list[str] = []
        position = 0
        for start, end in spans:
            match = text[start:end]
            if match not in results:
                results[match] = self._guard.text_of(self._evaluate_one(match, context, view, for_text=True))
            pieces += text[position:start], results[match]
            position = end
        return self._guard.join([*pieces, text[position:]], "")

    def describe(self, text: str, cause: str) -> str:
        """Return the message of a failure of ``text``."""
        expression = text.removeprefix(_OPENING).removesuffix(_CLOSING).strip()
        return f"Can not evaluate YAQL expression [expression={expression}, error={cause}]"

    def _parse_uncached(self, body: str) -> _Parsed:
        with self._parser_lock:
            node = self._engine.parser.parse(body, lexer=self._engine.lexer)
        stays_small = yaql_stays_small(node, self._functions)
        # With "#" an expression may redefine operators by their internal names.
        if not self._is_fast or "#" in body:
            return _Parsed(node, None, stays_small and "#" not in body)
        fast = None
        if stays_small:
            fast = compile_fast(node, self._functions, self._guard, self._converter)
        return _Parsed(accelerate(node, self._guard) if fast is None else node, fast, stays_small)

    def _parse_watched(
        self, body: str, context: Mapping[str, JsonValue], view: EvaluationView | None
    ) -> _Parsed:
        if len(body) <= _LONG_CHARS:
            return self._parse(body)
        return self._guard.run(context, view, lambda: self._parse(body))

    def _evaluate_one(
        self, match: str, context: Mapping[str, JsonValue], view: EvaluationView | None, *, for_text: bool
    ) -> JsonValue:
        body = match.strip(_DELIMITERS)
        try:
            if len(match) > _MAX_CHARS:
                raise LimitReachedError(_too_large(match))
            parsed = self._parse_watched(body, context, view)
            if parsed.fast is not None:
                try:
                    return parsed.fast.evaluate(context, view, for_text=for_text)
                except (UnavailableError, ViewNotReady, LimitReachedError):
                    raise
                except Exception:  # noqa: BLE001, S110 - the library tells whether and how it fails
                    pass
            if not parsed.stays_small:
                self._guard.leave_thread()
            return self._guard.run(context, view, lambda: self._evaluate_node(parsed.node, context, for_text))
        except (UnavailableError, ViewNotReady):
            raise
        except Exception as error:
            cause = describe_cause(error, body)
            raise EvaluationError(self.describe(body, cause)) from error

    def _evaluate_node(self, node: YaqlNode, context: Mapping[str, JsonValue], for_text: bool) -> JsonValue:
        scope = self._library.create_child_context()
        scope["$"] = read_only(context) if self._settings.convert_input_data else context
        try:
            value = node(utils.NO_VALUE, scope, self._engine)
            return self._converter(PlainConverter, for_text).convert(value)
        except exceptions.WrappedException as error:
            raise error.wrapped from error

    def _converter(self, kind: type[PlainConverter], for_text: bool) -> PlainConverter:
        settings = self._settings
        return kind(
            self._guard,
            for_text=for_text,
            sets_as_lists=settings.convert_sets_to_lists or not settings.convert_output_data,
            tuples_as_lists=settings.convert_tuples_to_lists,
        )


class _Context(contexts.Context):
    """A YAQL context that caches the look-up of library functions and counts what calls return."""

    library: _Library | None = None

    @property
    def has_functions(self) -> bool:
        """Tell whether functions were registered in this very context."""
        return bool(self._functions)

    def __init__(
        self, parent_context: Any = None, data: Any = utils.NO_VALUE, convention: Any = None
    ) -> None:
        super().__init__(parent_context, data, convention)
        if parent_context is not None:
            self.library = parent_context.library

    def __call__(
        self,
        name: str,
        engine: Any,
        receiver: Any = utils.NO_VALUE,
        data_context: Any = None,
        use_convention: bool = False,
        function_filter: Any = None,
    ) -> Callable[..., Any]:
        library = self.library
        if library is None or function_filter is not None:
            return super().__call__(  # type: ignore[no-any-return]
                name, engine, receiver, data_context, use_convention, function_filter
            )

        def call(*args: Any, **kwargs: Any) -> Any:
            overloads = library.overloads(self, name, receiver is not utils.NO_VALUE, use_convention)
            if not overloads:
                if receiver is utils.NO_VALUE:
                    raise exceptions.NoFunctionRegisteredException(name)
                # The library would quote the receiver, which is data and may be huge.
                raise exceptions.NoMethodRegisteredException(name, "")
            try:
                result = runner.choose_overload(
                    name,
                    overloads,
                    engine,
                    receiver,
                    self if data_context is None else data_context,
                    args,
                    kwargs,
                )()
            except StopIteration as error:
                # Inside a generator it would end a loop silently instead of failing.
                raise exceptions.WrappedException(error) from error
            utils.limit_memory_usage(engine, (1, result))
            library.guard.charge_value(result)
            return result

        return call


class _Library:
    """The functions that never change, and the cache of look-ups in them."""

    def __init__(self, context: _Context, guard: Guard) -> None:
        self.context = context
        self.guard = guard
        self._cache: dict[tuple[str, bool, bool], list[set[YaqlFunction]]] = {}

    def overloads(
        self, context: _Context | None, name: str, is_method: bool, use_convention: bool
    ) -> list[set[YaqlFunction]]:
        """Return the functions of a name visible in ``context``, nearest layer first."""
        key = (name, is_method, use_convention)
        found: list[set[YaqlFunction]] = []
        while context is not None and context is not self.context:
            # Only `def()` puts functions outside the library.
            if context.has_functions:
                functions, _ = context.get_functions(name, _predicate(is_method), use_convention)
                if functions:
                    found.append(functions)
            context = context.parent
        known = self._cache.get(key)
        if known is None:
            predicate = _predicate(is_method)
            known = self.context.collect_functions(
                name, lambda function, _: predicate(function), use_convention=use_convention
            )
            if known:
                # Unknown names are not kept: their number is up to whoever writes expressions.
                self._cache[key] = known
        return found + known


def _predicate(is_method: bool) -> Callable[[YaqlFunction], bool]:
    return (lambda function: bool(function.is_method)) if is_method else (lambda f: bool(f.is_function))


def _create_library(
    guard: Guard, functions: Mapping[str, ExpressionFunction], *, allow_delegates: bool
) -> _Context:
    standard = yaql.create_context(
        context=_Context(convention=conventions.CamelCaseConvention()), delegates=allow_delegates
    )
    guarded = standard.create_child_context()
    for function, check in _CHECKS:
        guarded.register_function(_checked(function, check, guard))
    for function, replacement in _REPLACEMENTS:
        guarded.register_function(_replaced(function, replacement, guard))
    for entry in functions.values():
        guarded.register_function(_adapt(entry, guard), name=entry.name)
    guarded.library = _Library(guarded, guard)
    return guarded  # type: ignore[no-any-return]


def _adapt(entry: ExpressionFunction, guard: Guard) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        evaluation = guard.current()
        if evaluation is None:
            raise EvaluationError(f"{entry.name}() is not available here")
        scope = Scope(evaluation.context, evaluation.view)
        plain_args = [PlainConverter(guard).convert(arg) for arg in args]
        plain_kwargs = {key: PlainConverter(guard).convert(arg) for key, arg in kwargs.items()}
        return entry.invoke_within(guard, scope, plain_args, plain_kwargs)

    return call


def _checked(function: Callable[..., Any], check: Callable[[Guard, Arguments], None], guard: Guard) -> Any:
    signature = inspect.signature(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        check(guard, bound.arguments)
        return function(*args, **kwargs)

    definition = specs.get_function_definition(function, convention=conventions.CamelCaseConvention())
    definition.payload = call
    return definition


def _replaced(function: Callable[..., Any], call: Callable[..., Any], guard: Guard) -> Any:
    definition = specs.get_function_definition(function, convention=conventions.CamelCaseConvention())
    definition.payload = lambda *args, **kwargs: call(guard, *args, **kwargs)
    return definition


def _check_multiply(guard: Guard, args: Arguments) -> None:
    guard.multiply(args["left"], args["right"])


def _check_match(guard: Guard, args: Arguments) -> None:
    pattern = args["regexp"] if "regexp" in args else args["pattern"]
    text = pattern if isinstance(pattern, str) else pattern.pattern
    guard.pattern(text)
    guard.match(text, len(args["string"]))


def _check_regex_replace(guard: Guard, args: Arguments) -> None:
    _check_match(guard, args)
    guard.substitute(args["string"], args["repl"])


def _check_backwards(guard: Guard, args: Arguments) -> None:
    # From the front a text is found in linear time, from the back it is not.
    sought = args["sub"] if "sub" in args else args["separator"]
    guard.steps(len(args["string"]), len(sought or ""))


def _check_characters(guard: Guard, args: Arguments) -> None:
    # Each character is looked up in the whole of the others.
    guard.steps(len(args["string"] or ""), len(args["chars"] or ""))


def _check_set(guard: Guard, args: Arguments) -> None:
    # Integers with equal hashes can be made; then each is compared to all others.
    if isinstance(args["collection"], tuple):
        guard.steps(len(args["collection"]), len(args["collection"]))


def _check_replace_many(guard: Guard, args: Arguments) -> None:
    longest = max((len(str(value)) for value in args["replacements"].values()), default=1)
    guard.charge_text((len(args["string"]) + 1) * longest)


_CHECKS: tuple[tuple[Callable[..., Any], Callable[[Guard, Arguments], None]], ...] = (
    (std_math.multiplication, _check_multiply),
    (std_strings.string_by_int, _check_multiply),
    (std_strings.int_by_string, _check_multiply),
    (std_collections.list_by_int, _check_multiply),
    (std_collections.int_by_list, _check_multiply),
    (std_math.pow_, lambda guard, args: guard.power(args["a"], args["b"], args["c"])),
    (std_math.shift_bits_left, lambda guard, args: guard.shift_left(args["value"], args["bits_number"])),
    (
        std_strings.replace,
        lambda guard, args: guard.replace(args["string"], args["old"], args["new"], args["count"]),
    ),
    (std_strings.replace_with_dict, _check_replace_many),
    (std_strings.last_index_of, _check_backwards),
    (std_strings.last_index_of_, _check_backwards),
    (std_strings.right_split, _check_backwards),
    *(
        (function, _check_characters)
        for function in (
            *(std_strings.trim, std_strings.trim_left, std_strings.trim_right),
            *(std_strings.norm, std_strings.is_empty),
        )
    ),
    (std_collections.to_set, _check_set),
    (std_regex.replace, _check_regex_replace),
    (std_regex.replace_string, _check_regex_replace),
    (std_regex.regex, lambda guard, args: guard.pattern(args["pattern"])),
    *(
        (function, _check_match)
        for function in (
            *(std_regex.matches, std_regex.matches_, std_regex.search, std_regex.search_all, std_regex.split),
            *(std_regex.split_string, std_regex.matches_operator_regex, std_regex.matches_operator_string),
            *(std_regex.not_matches_operator_regex, std_regex.not_matches_operator_string),
        )
    ),
)


def _join(guard: Guard, sequence: Any, separator: str, str_delegate: Callable[[Any], str]) -> str:
    return guard.join([str_delegate(item) for item in sequence], separator)


def _join_method(guard: Guard, separator: str, sequence: Any, str_delegate: Callable[[Any], str]) -> str:
    return _join(guard, sequence, separator, str_delegate)


def _replace_by(guard: Guard, context: Any, regexp: Any, string: str, repl: Any, count: int = 0) -> Any:
    guard.match(regexp.pattern, len(string))
    return std_regex.replace_by(context, regexp, string, _counted(guard, repl), count)


def _replace_by_method(
    guard: Guard, context: Any, string: str, regexp: Any, repl: Any, count: int = 0
) -> Any:
    guard.match(regexp.pattern, len(string))
    return std_regex.replace_by_string(context, string, regexp, _counted(guard, repl), count)


def _counted(guard: Guard, repl: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``repl`` that accounts for each piece, since the same large one may be inserted many times."""
    size = 0

    def call(*args: Any) -> Any:
        nonlocal size
        piece = repl(*args)
        size += len(piece) if isinstance(piece, str) else 0
        if size > guard.max_bytes:
            guard.charge(size)
        return piece

    return call


def _text(guard: Guard, value: object) -> str:
    if value is None:
        return "null"
    if value is True or value is False:
        return str(value).lower()
    return guard.text_of(value)


_REPLACEMENTS: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...] = (
    (std_strings.join, _join),
    (std_strings.join_, _join_method),
    (std_strings.str_, _text),
    (std_regex.replace_by, _replace_by),
    (std_regex.replace_by_string, _replace_by_method),
)
