"""The ground floor: bare arrays in, bare arrays out; no labels, units or files, no raising on draws."""
