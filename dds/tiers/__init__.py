"""Device, edge and cloud: exact plans over three tiers.

Reading order: ``links`` (what joins the tiers, what a tier offers), ``plan`` (what a plan is, and
what it costs), ``solver`` (the questions a caller asks), ``ways`` (why two-tier cuts answer them),
``joint`` (one minimum cut where they do not), ``hull`` (all of it made ready for links that
change), ``baselines`` (what to compare with).
"""
