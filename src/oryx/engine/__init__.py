"""Running a model on demand: streaming encode, and what later joins it."""
