"""Results folders of any number of runs as one page, runs of the same task side by side."""
