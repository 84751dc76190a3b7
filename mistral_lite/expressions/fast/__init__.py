"""The direct way through the commonest YAQL: expressions compiled to Python closures over plain data.

Owns no meaning of its own: for every expression and all data it gives what the library gives, or it raises and
leaves the case to the library. Nothing of the data is wrapped or copied. ``values.py`` says how values are kept,
``compiler.py`` turns a parsed expression into closures, the other modules are its operators and functions.
"""

from mistral_lite.expressions.fast.compiler import accelerate, compile_fast
from mistral_lite.expressions.fast.results import FastExpression

__all__ = ["FastExpression", "accelerate", "compile_fast"]
