"""Noctule's own small speech model: training data, encoder, speech-text model, export and evaluation."""
