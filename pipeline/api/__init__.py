"""The JSON API of runs, files, reports, conversations and instructions."""
