"""What each verb of the command line does, one module a verb. Called by `cli` only.

A command gets settings that were judged already and gives an exit status. It never parses arguments or reads the
environment.
"""
