"""Expressions: YAQL and Jinja2 over a read-only context, typed results, bounded cost.

Owns what an expression means and how much it may cost. It must not read a database, a clock or a file, and
knows nothing of workflows: data come from a ``LayeredContext``, everything wider from an ``EvaluationView``.
"""

from mistral_lite.expressions.base import (
    EvaluationView,
    ExpressionEvaluator,
    ExpressionSettings,
    LayeredContext,
)
from mistral_lite.expressions.evaluator import Evaluator

__all__ = ["EvaluationView", "Evaluator", "ExpressionEvaluator", "ExpressionSettings", "LayeredContext"]
