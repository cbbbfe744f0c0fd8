"""For all tests: no time limit per Hypothesis example, which a loaded machine would break."""

from hypothesis import settings

# What is not said here stays as Hypothesis has it, which differs where it finds itself in CI.
settings.register_profile("dds", deadline=None)
settings.load_profile("dds")
