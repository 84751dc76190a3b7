"""Shows the actions of PyPI ``mistral-extra`` at work; see ``__main__``."""
