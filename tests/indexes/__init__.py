"""Indexes of wheels as they are in the world, each on an origin of the tests: what they list, how, and what they say.

One module an index. Each owns its state (what is listed, what lies where) and makes its pages when they are asked for,
in the form that its real counterpart has. None knows the program; `tests.origin` counts and misbehaves for all of them.
"""
