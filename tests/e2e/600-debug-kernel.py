# SPDX-License-Identifier: GPL-2.0-only
"""The same on a kernel with KASAN, lockdep, kmemleak and KHO debugging; slower frames."""
from harness.scenario import FRAME_JUDGES, Scenario

SCENARIOS = [
    Scenario(name='debug-kernel', test='dma', kernels=('old', 'debug'), memory='2G', rate=500,
             judges=FRAME_JUDGES, timeout=400,
             summary='DMA survives into a debug kernel, which finds nothing'),
    Scenario(name='debug-kernel-old', test='dma', kernels=('debug', 'new'), memory='2G', rate=500,
             judges=FRAME_JUDGES, timeout=400,
             summary='DMA survives out of a debug kernel, which finds nothing'),
]
