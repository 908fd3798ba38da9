"""Bytes to characters, as the Encoding Standard of the WHATWG says."""
