"""The differential test: the same small workflows on a genuine Mistral and here, their outcomes compared."""
