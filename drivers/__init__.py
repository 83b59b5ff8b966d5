"""Device ports (ports.py) and one file per vendor."""
