"""The device agent: measures, cuts, bids, and runs its DNN across device and server.

- ``agent``    the whole story: profile, frontier, market, upload, inferences
- ``player``   plays one market session over a stream
- ``offload``  one split model at work: device part, link, server part
- ``runner``   the device: kernels paced to a slower device
- ``link``     the network: calls shaped to a slower link
- ``results``  what is reported of each strategy
- ``server``   what an agent needs of a server
- ``channel``  gRPC; the only file that knows it
- ``errors``   what only a client of a running server meets
- ``cli``      the ``mec-client`` command
"""
