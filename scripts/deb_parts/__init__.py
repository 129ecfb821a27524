"""What `scripts/build_deb` and `scripts/requirements.py` are made of: locked wheels, and a Debian package of them."""
