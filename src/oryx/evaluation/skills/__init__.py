"""The suite of what nano is trained for, its report, and the card of a model."""
