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
- ``results``   what is reported of each strategy
- ``server``    what an agent needs of a server
- ``channel``   gRPC; the only file that knows it
- ``errors``    what only a client of a running server meets
- ``flags``     what ``mec-client`` can be told
- ``cli``       the ``mec-client`` command
"""
