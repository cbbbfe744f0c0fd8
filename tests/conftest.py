"""For all tests: Hypothesis draws the same examples every time, and may take its time for each.

`pytest --hypothesis-profile explore` draws others.
"""

from hypothesis import settings

settings.register_profile("dds", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("dds")
