"""An image server that speaks `/sdapi/v1` as AUTOMATIC1111's WebUI or Forge does, and draws instead of diffusing.

It is a program of its own (`python -m webui.simulator --help`), spoken to over HTTP only. Nothing in here
imports Django or the rest of `webui`: a witness that shares the client's code would share its mistakes.

What fails, and when, is told by rules: `fault_rules` has their grammar, `faults` and `boot_faults` their
kinds, `switchboard` reads them anew for every request and every start. What happened is told by the
`journal`, whose docstring is its format.
"""
