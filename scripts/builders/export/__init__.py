"""Host-side export: checkpoints in safetensors -> quantised TFLite packages. Needs requirements-host.txt.

The pieces, in the order the data flows: `checkpoint` (folder -> config and tensors, verified), `families`
(config.json of one architecture -> `DecoderConfig`), `weights` (tensors -> `graph.Decoder`), `convert`
(torch -> TFLite signatures), `quantise` (float32 file -> int8 or int4), `golden` (what a healthy runtime
answers), `package_writer` (the folder, atomically).
"""
