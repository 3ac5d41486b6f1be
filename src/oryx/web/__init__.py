"""The web page: media in, the plan before asking, answers as they come. `oryx web` runs it."""
