# SPDX-License-Identifier: GPL-2.0-only
"""The laboratory: starts virtual machines, feeds them frames, and judges what they did."""
