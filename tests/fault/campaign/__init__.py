"""A long queue on a real installation of two nodes while faults of every kind strike it, and the judgement of it.

    python -m tests.fault.campaign --faults 400 --seed 1 --report figures.json

`plan` decides what strikes, `inject` and `engine` do it to the processes of `installation`, `drive` keeps the time,
and `checker` judges from the database, the simulators' journals and the disk alone.
"""
