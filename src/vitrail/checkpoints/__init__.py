"""Bytes and names: where the files of a model are, what they hold, and how they are written.

Nothing in this room builds a module or runs code from a model's folder.
"""
