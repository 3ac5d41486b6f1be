"""Furnished rooms: named furniture models laid out in rooms, rendered from several views with exact ids."""
