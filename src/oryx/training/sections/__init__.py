"""The sections of a recipe: typed, frozen, validated when made."""
