"""The worker: one process, one kind of work, one DiffSynth pipeline behind HTTP. One comes in by `__main__`.

Imports the standard library, Pillow, `webui.work.limits` and `webui.work.fitting`; `pipeline` alone touches torch and
diffsynth, `saving` the encoder that comes with them. No Django and no pydantic: its environment has neither.

    command_line, configuration    what it was told to be
    server, routes, bodies         HTTP
    worker                         its state: loading, ready, failed
    orders, jobs, running          a job from its request to its end
    inputs, results, folder        files
    pipeline, saving               the work itself
"""
