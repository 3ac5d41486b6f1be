"""From what a request names to bytes or a checked path. Nothing is decoded here."""
