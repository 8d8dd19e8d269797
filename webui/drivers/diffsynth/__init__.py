"""DiffSynth-Studio: films (image to video) and edits, drawn by worker processes of our own.

`worker` is the program that runs there, in an environment of its own; the rest of this folder speaks to it.
"""
