"""HTTP and TCP to one server: addresses, connections, answers, the policy of repeated sends. No endpoint is known here.

Imports: `webui.errors`.
"""
