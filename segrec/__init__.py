"""The roof: one command line, which wires what may not import each other."""
