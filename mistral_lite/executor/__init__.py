"""The executor: claims actions from an engine, runs them in threads and reports until it is heard."""
