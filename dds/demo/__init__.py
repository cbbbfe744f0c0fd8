"""The main job, end to end, on one machine.

- ``scenario``  who takes part: models, emulated devices, links
- ``processes`` processes that print events, and are gone when their block ends
- ``fleet``     one ``mec-server`` and the ``mec-client`` processes of a scenario
- ``progress``  what a terminal shows while they work
- ``run``       the finished run as data: rows, verdict, JSON
- ``report``    the table
- ``chart``     the picture
- ``tiers``     the three-tier experiment, measured; ``tiers_report`` is its table
"""
