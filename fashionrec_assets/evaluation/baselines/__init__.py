"""The simple, strong methods every model is put beside; `suite.py` fits them all."""
