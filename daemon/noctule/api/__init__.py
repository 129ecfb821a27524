"""The service's interfaces to other programs.

`gate` and `peer` guard connections, `http` speaks JSON, `control` answers, `client` asks.
"""
