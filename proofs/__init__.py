"""An independent checker of what DDS claims: standard library only, exact arithmetic.

Reading order: ``document`` (strict JSON, exact numbers), ``tariffs`` (pi and its
slopes), ``bounds`` (the inequalities behind "no deviation pays"), ``rows`` (one
client's claim), ``equilibrium`` (the whole market), ``run`` (a saved demo),
``pooled`` (a shared server), ``check`` (the command).  THEOREMS.md says why each test
proves what it claims.  Copy this folder anywhere and run
``python -m proofs.check FILE.json``: nothing here imports DDS or any other package.
"""
