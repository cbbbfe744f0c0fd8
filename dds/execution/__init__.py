"""Programs of a schedule, played: every worker computes, sends and receives.

In reading order:

- ``mailbox``      what carries parts of tensors between workers
- ``interpreter``  one worker's program, loaded on an engine and played
- ``threads``      all workers in one process, a thread for each
- ``processes``    a process for each, pinned to a core of this machine: they talk by
  ``shared_memory``, and learn from a ``handover`` what a ``worker`` has to do
- ``machine``      a model on cores of this machine: ``slices`` measures, ``forecast`` predicts
"""
