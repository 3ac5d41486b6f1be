"""Oryx behind interfaces that other programs speak: a vLLM plugin, an HTTP server, batch jobs."""
