"""An HTTP server with OpenAI's interface over any `Engine`.

Bytes arrive in `protocol`, pass `request_log`, `body_limit` and `guards`, are read by `reading` and checked
by `chat_request`; `admission` gives them a place, `conversation` makes them a job, and `answering` writes
what the engine says. `server` starts and ends all of it; `wiring` chooses its parts.
"""
