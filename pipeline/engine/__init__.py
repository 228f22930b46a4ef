"""The pure heart of the pipeline: planning, names, guard, ranking, colour and the run log.

Nothing here imports Django, opens a connection or reads the clock; moments, seeds and hashes are
arguments. The same input gives the same output on every machine.
"""
