"""Moonshine, a recogniser trained on people: encoder and decoder on TFLite, several readings at once."""
