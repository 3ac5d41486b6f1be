"""Furnished rooms: what is asked, in three ways, and whether marks help."""
