import asyncio

from prefect_seedance.limiter import Limiter


async def test_paces_evenly() -> None:
    """Ten requests at 60 a minute take nine seconds."""
    limiter = Limiter(60)
    clock = asyncio.get_running_loop().time
    began = clock()

    await asyncio.gather(*[limiter.turn() for _ in range(10)])

    assert 9 <= clock() - began < 9.5
