"""How Sphinx builds these pages: ``sphinx-build -W docs build/docs``."""

from __future__ import annotations

project = "mistral_lite"
author = "The authors of mistral_lite"
html_theme = "alabaster"
exclude_patterns = ["examples"]
# Links between pages are written with :doc:, so that a missing page is a warning and -W an error.
nitpicky = True
