"""The MEC server: sells shares of its cores, keeps model parts, runs them at the bought speed.

- ``config``    what an operator sets, checked
- ``rpc``       gRPC in and out
- ``upstream``  gRPC onwards: calls for the server behind this one
- ``handlers``  what each call does; dataclasses in and out
- ``chaining``  which tensors go where when the next part runs upstream
- ``loading``   bytes from the wire to a model that runs
- ``stored``    what is kept of a model
- ``executor``  runs inferences at bought shares
- ``profiling`` measures models for clients of another platform
- ``errors``    what only a server with others behind it refuses
- ``cli``       the ``mec-server`` command
"""
