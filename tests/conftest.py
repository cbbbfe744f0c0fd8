"""For all tests: Hypothesis draws the same examples every time, and may take its time for each.

`pytest --hypothesis-profile explore` draws others.
"""

import signal

from hypothesis import settings

settings.register_profile("dds", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("dds")

# Processes in the background ignore Ctrl-C, and so would those that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
