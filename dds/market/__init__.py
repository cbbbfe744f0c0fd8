"""The allocation game: who offloads how much, at what price, and why nobody would change.

- ``client``       a player: its frontier, value of time and bounds
- ``tariff``       price lists (``tariff_base`` says what one is, ``tariff_json`` reads them)
- ``response``     one client's answers; ``replies`` everybody's at once, over a ``table``
- ``auctioneer``   asks until nobody wants to change: ``taking`` for posted prices,
  ``anticipating`` for the Nash game (``loads`` searches F), both on ``crossing`` (demand meets
  supply) and ``sale``
- ``equilibrium``  ``nash`` and ``competitive``; large markets go through ``outlook`` (about where),
  ``crowd`` and ``zone`` (few are asked), on ``passes`` and ``pass_kernels`` (one loop over all)
- ``social``       the best allocation and a bound; on ``bound`` (dual), ``filling``, ``branching``
- ``efficiency``, ``endowment``  what an equilibrium loses; everybody owns C/N cores
- ``arrow``        tables of clients from and to Arrow and Parquet
- ``certificate``  the proof, for the independent checker in ``proofs``
- ``document``     markets as JSON: what ``dds solve`` reads and prints
- ``arguments``    checks what is given; ``exact``, ``numbers`` rationals, quanta, long sums

Lemma A, Theorems B and C are those of docs/architecture.md.
"""
