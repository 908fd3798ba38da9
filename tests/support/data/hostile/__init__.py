"""Files as an attacker would make them: they fetch, unpack to gigabytes, nest without end, or are damaged."""
