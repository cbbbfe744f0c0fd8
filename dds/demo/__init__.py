"""The main job, end to end, on one machine.

- ``scenario``  who takes part: models, emulated devices, links
- ``fleet``     starts one ``mec-server`` and the ``mec-client`` processes, reads their events
- ``progress``  what a terminal shows while they work
- ``run``       the finished run as data: rows, verdict, JSON
- ``report``    the table
- ``chart``     the picture
"""
