"""Engines of the server: each runs the language model for many requests at a time."""
