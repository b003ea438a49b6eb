"""Enhance photo files and camera RAW files with any policy, at full resolution."""
