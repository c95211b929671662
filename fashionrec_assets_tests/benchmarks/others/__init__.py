"""What we are compared with, in an environment of its own (`requirements.txt`): see `serving.py`."""
