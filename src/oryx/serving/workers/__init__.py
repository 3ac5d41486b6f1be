"""Worker processes that make prompts of requests: hostile media end there, not in the server."""
