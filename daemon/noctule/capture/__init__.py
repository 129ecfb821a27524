"""Eyes: frames from displays, cameras, streams and files. Knows of nothing but configuration and time.

Every source runs in a child process (child.py), because a stalled driver or X server can only be killed; pixels
come back through a ring in shared memory (ring.py), and feed.py owns the child: it starts, watches and restarts it.
No code in this folder makes up pixels: where there is no frame there is an error that says why.
"""
