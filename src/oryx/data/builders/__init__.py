"""Builders: from raw media and annotation files to training and evaluation records."""
