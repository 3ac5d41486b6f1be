"""Synthetic training data, drawn on the fly: words, pages, objects, things and videos, with questions."""

from oryx.data.synthetic.sample import Sample
from oryx.data.synthetic.source import SKILLS, Source, make_source, vocabulary

__all__ = ["SKILLS", "Sample", "Source", "make_source", "vocabulary"]
