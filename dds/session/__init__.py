"""The market's protocol without I/O: two state machines that take (message, now).

- ``dds.session.messages``  what travels, as frozen dataclasses
- ``dds.session.states``    the transition tables that the code obeys and the docs draw
- ``dds.session.timing``    the timers of both sides
- ``dds.session.server``    one market: its ``members``, its rounds (``epoch``), its leases
- ``dds.session.effects``   what the server asks its caller to carry out
- ``dds.session.client``    one client's side; ``answers`` is what it computes in private
- ``dds.session.status``    public facts about a running market
- ``dds.session.upload``    how the server-side part of a model travels
- ``dds.session.profiling`` how a client has the server measure one
- ``dds.session.helping``   what clients and helpers say, and what a program must satisfy
- ``dds.session.limits``    what servers and helpers bound alike
- ``dds.session.store``     models by digest and lease; ``refusals`` what only a server refuses

No clock, no socket, no thread: the caller brings `now` (seconds, any monotone clock), carries
messages, and calls ``tick(now)`` when ``next_timeout()`` has come.  A server of one market::

    terms = Terms(Clearing(8.0), capacity=8.0, core=ReferenceCore("edge-core", 2e10, 1e10, 5e-6))
    market = MarketServer(terms, leases=iter_of_unguessable_text, quorum=8)
    effects = market.receive(peer, message, now)   # peer: any hashable, one per stream
    effects = market.tick(now)                     # at or after market.next_timeout()
    effects = market.disconnected(peer, now)       # the stream ended
    effects = market.close(now)                    # refuses everybody
    for effect in effects:
        match effect:
            case Send(peer=peer, message=message): ...        # to that stream
            case Settled(allocations=by_lease): ...           # enforce these shares from now on
            case Departed(lease=lease, reason=reason): ...    # this lease is worth nothing now

One client; every method returns the messages to send::

    agent = ClientSession("phone-1", nonce)
    send(agent.start(now))
    send(agent.receive(message, now))              # agent.terms is set once it is ADMITTED
    send(agent.update(client, now))                # its costs: enters the game, or re-enters it
    send(agent.tick(now))                          # at or after agent.next_timeout()
    send(agent.reconnected(now))                   # on a new stream: same lease
    agent.settlement                               # allocation, piece, latency, regret, objections
    send(agent.release(now))
"""
