"""The service's interfaces to other programs. L4.

`gate` and `peer` guard connections, `http` speaks JSON, `control` answers, `client` asks.
"""
