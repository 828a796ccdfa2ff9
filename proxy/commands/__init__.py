"""The verbs of the command line, one module each. Called by `cli` only.

A command gets validated settings and returns an exit status. It never parses arguments or reads the environment.
"""
