"""The device agent: measures, cuts, bids, and runs its DNN across device and server.

- ``config``    what one ``mec-client`` is told
- ``prepare``   before it meets a server: read and profile the model
- ``agent``     the whole story: every strategy in turn, outputs compared
- ``trade``     one strategy in the market: join, upload, infer, play again
- ``costs``     seconds per operator of both sides, to a frontier
- ``measured``  the best few cuts, measured directly
- ``planning``  from costs to placements: which operators run where
- ``tiers``     the same with a cloud behind the server; ``cloud`` its share of that
- ``served``    where the server's seconds come from
- ``adapting``  when what was learned is worth another game
- ``logbook``   what every inference returned and taught
- ``player``    plays one market session over a stream
- ``course``    the next placement is made ready while the last one keeps serving
- ``offload``   one split model at work: device part, link, parts on servers
- ``runner``    the device: kernels paced to a slower device
- ``slowdown``  how slow, and from which inference on
- ``link``      the network: calls shaped to a slower link
- ``parallel``  a model on device and helpers; ``parallel_plan`` loads a schedule everywhere,
  ``parallel_run`` is one inference
- ``team``      the helpers that answer; ``team_config`` who they are; ``speeds`` how fast each is
- ``helped``    what the market is played with then
- ``results``   what is reported of each strategy
- ``server``    what an agent needs of a server
- ``channel``   gRPC to a server
- ``errors``    what only a client of a running server meets
- ``flags``     what ``mec-client`` can be told
- ``cli``       the ``mec-client`` command

A helper of other clients, ``mec-client --helper``:

- ``helper_handlers``  what each call does; ``helper_tenants`` leases, ``helper_programs`` programs
  and their runs, ``helper_profiling`` how long models take there
- ``helper_rpc``       gRPC in and out; ``helper_channel`` for its clients and for other helpers
- ``mailboxes``        parts on their way, at a helper and at the device
- ``pacing``           engines held back to a slower device, and compared with onnxruntime
- ``helper_config``, ``helper_cli``  what it is told
"""
