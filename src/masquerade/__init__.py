"""masquerade: every face replaced by a face that belongs to nobody."""

__version__ = "0.1.0"
