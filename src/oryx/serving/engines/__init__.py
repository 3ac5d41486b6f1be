"""What runs the language model behind the server, by `oryx.serving.engine.Engine`."""
