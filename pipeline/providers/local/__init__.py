"""The embedded provider: classical looks, no network, no weights, no money."""
