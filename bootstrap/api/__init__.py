"""Routes of the bootstrap exchange."""
