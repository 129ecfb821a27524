"""Builds and measures wake words on a PC, offline: the host half of Noctule's second pillar.

`scripts/build_wake_word.py` is the command; `stages.py` shows the order of the work. Needs numpy, scipy, torch,
pymicro-features, ai-edge-litert and at least espeak-ng. Nothing here is installed on a board.
"""
