"""When the requests of a load are sent, where the load generator is told so."""

import random

LEAD_S = 3.0
"""Seconds before the first request, in which the load generator's processes start; what is due earlier comes late."""


def poisson_sends(rate: float, requests: int, seed: int, seconds: float = 0.0) -> list[float]:
    """Times of sending of a Poisson process in seconds: as many as asked for, and over as long as asked for.

    The gaps are those of the seed over the rate, so equal seeds have the same at equal rates.
    """
    generator = random.Random(seed)
    at = 0.0
    sends: list[float] = []
    while len(sends) < requests or sends[-1] < LEAD_S + seconds:
        sends.append(round(LEAD_S + at, 6))
        at += generator.expovariate(1.0) / rate
    return sends
