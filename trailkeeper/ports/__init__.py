"""The seams between the steps and the world, one file per role.

A port says what a step needs, in the words of the model.

One contract suite per port (tests/contract/) runs over every implementation. Nothing here imports
an outside library. All times are UTC and passed in; all paths are absolute.
"""
