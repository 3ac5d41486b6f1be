"""Training data from files: whatever the format, a source is a sequence of records (see docs/data.md).

What may live here: one module per format, and what all formats share.
"""
