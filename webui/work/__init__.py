"""The vocabulary of work: what one request is to do, and what servers tell, in words of no server's own. Pure.

Jobs make `unit.Work` from records; drivers turn it into `unit.Request`s and their server's words into the values of
`told`. Imports: `webui.values` and `webui.errors` alone.
"""
