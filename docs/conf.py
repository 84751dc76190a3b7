"""How Sphinx builds these pages: ``sphinx-build -W docs docs/_build``."""

from __future__ import annotations

project = "mistral_lite"
author = "The authors of mistral_lite"
html_theme = "alabaster"
exclude_patterns = ["_build", "examples"]
# Links between pages are written with :doc:, so that a missing page is a warning and -W an error.
nitpicky = True
