"""Pages of the domain: read models in, templates out; every change goes through a service."""
