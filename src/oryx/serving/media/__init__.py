"""From what a request names to bytes or a checked path: nothing is decoded here, and nothing else is opened."""
