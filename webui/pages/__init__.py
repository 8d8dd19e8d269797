"""The pages of one server: its state, log and history; attach, change, test a connection.

Come in by `webui.urls`. Imports: everything of `webui` but the simulator.
"""
