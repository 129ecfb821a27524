"""Judging the ears: recordings under conditions, what is heard of them and what would be done."""
