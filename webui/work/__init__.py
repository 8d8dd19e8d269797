"""The vocabulary of work: the parameters of each kind of stage. Pure.

Jobs make it from records, drivers turn it into requests. Imports: `webui.values` alone.
"""
