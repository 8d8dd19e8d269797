"""Drivers: one folder for each kind of server, with everything that is particular to it.

A folder answers as `webui.driver.Driver`; nothing outside of it knows its endpoints or words.
Importing this package needs no Django.
"""
