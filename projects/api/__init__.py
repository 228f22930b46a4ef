"""The JSON API of what belongs to a project besides its runs."""
