"""What `scripts/build_deb` and `scripts/tools/deb/requirements.py` are made of: locked wheels, a Debian package."""
