"""A shop whose truth is known: who its customers are, what they want, what texts say, what another list would have done.

`World.build` makes one from settings and a seed; `write_world` writes its tables and, apart from them, the truth. Nothing that trains
or answers may import this package or read what it writes as truth.
"""
