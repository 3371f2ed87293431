# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the drift that is found between frames, and spikes and bad pixels found and missed.

    python benchmarks/preprocessing.py --seeds 5

Frames of 128 x 128 pixels of particles on a foil that drifts by 7 and 4 pixels, slower and slower,
with a jitter of 0.3 pixels; Poisson counts. Spikes and bad pixels are put into maps of 64 x 64
pixels and 512 channels with lines of three channels' width.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from mlatem.preprocessing.bad_pixels import dead_pixels
from mlatem.preprocessing.drift import find_drift
from mlatem.preprocessing.spikes import find_spikes

SIZE, MARGIN = 128, 24
N_FRAMES = 16
SPECTRA = (64, 64, 512)


def scene(rng: np.random.Generator) -> np.ndarray:
    """Mean counts of one, larger than the scan by a margin."""
    size = (SIZE + 2 * MARGIN,) * 2
    spots = gaussian_filter((rng.random(size) < 0.01) * rng.uniform(5, 20, size), 1.5) + 0.05
    return spots / spots.mean()


def frames(rng: np.random.Generator, counts: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts of all frames, and by how much the scene has moved."""
    ago = np.exp(-np.arange(N_FRAMES) / 6)[:, None]
    path = np.array([7.0, -4.0]) * (1 - ago) + rng.normal(0, 0.3, (N_FRAMES, 2))
    whole, cut = scene(rng), (slice(MARGIN, -MARGIN),) * 2
    means = [shift(whole, step, order=3, mode="nearest")[cut].clip(0) for step in path]
    return rng.poisson(counts * np.array(means)), path


def drift_row(counts: float, seeds: int) -> str:
    errors, told, together, found = [], [], [], 0
    start = time.process_time()
    for seed in range(seeds):
        images, path = frames(np.random.default_rng(seed), counts)
        result = find_drift(images.__getitem__, N_FRAMES, are_counts=True)
        if result is None:
            continue
        found += 1
        left = path + result.shift_px
        errors.append(np.sqrt(np.mean(np.var(left, axis=0))))
        told.append(result.error_px)
        together.append(result.n_together)
    seconds = (time.process_time() - start) / seeds
    cells = f"{np.mean(errors):.2f} | {np.mean(told):.2f} | {np.max(together)}" if found else "| |"
    return f"| {counts:g} | {found} of {seeds} | {cells} | {seconds:.1f} |"


def no_drift(seeds: int) -> int:
    """Maps of noise alone in which a drift was found."""
    found = 0
    for seed in range(seeds):
        images = np.random.default_rng(seed).poisson(2.0, (N_FRAMES, SIZE, SIZE))
        result = find_drift(images.__getitem__, N_FRAMES, are_counts=True)
        found += result is not None
    return found


def spectra(dose: float) -> np.ndarray:
    """Mean counts: two lines of all pixels, one of a particle of one pixel, and a strobe peak."""
    channel = np.arange(SPECTRA[2])
    lines = (np.exp(-0.5 * ((channel - c) / (3 / 2.355)) ** 2) for c in (100, 300, 400))
    first, second, own = lines
    mean = np.tile(dose * (0.1 + 5 * first + 2 * second), (*SPECTRA[:2], 1))
    mean[..., 10] += 30 * dose
    mean[32, 20] += 60 * dose * own
    mean[:, 40:] *= 3
    return mean


def spike_row(dose: float, height: int, seeds: int) -> str:
    n_found = n_false = n_put = 0
    core = slice(0, SPECTRA[0]), slice(0, SPECTRA[1])
    chance = 0.01 / np.prod(SPECTRA)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        counts = rng.poisson(spectra(dose))
        places = {tuple(rng.integers(0, n) for n in SPECTRA) for _ in range(50)}
        for place in places:
            counts[place] += height
        spikes = find_spikes(counts, core, least_chance=chance)
        found = set(zip(spikes.row, spikes.column, spikes.channel, strict=True))
        n_put += len(places)
        n_found += len(found & places)
        n_false += len(found - places)
    return f"| {dose:g} | {height} | {n_found} of {n_put} | {n_false} |"


def dead_row(counts: float, seeds: int) -> str:
    n_found = n_false = n_put = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        totals = rng.poisson(counts, (SIZE, SIZE))
        totals[:40] = 0  # vacuum
        dead = rng.random((SIZE, SIZE)) < 2e-3
        dead[:41] = False
        totals[dead] = 0
        found = dead_pixels(totals)
        n_put += np.count_nonzero(dead)
        n_found += np.count_nonzero(found & dead)
        n_false += np.count_nonzero(found & ~dead)
    return f"| {counts:g} | {n_found} of {n_put} | {n_false} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    print("| Counts a pixel and frame | Found | Error, px | Error told, px | Together | CPU, s |")
    print("|---|---|---|---|---|---|")
    for counts in (20.0, 2.0, 0.2, 0.02, 0.005):
        print(drift_row(counts, seeds))
    print(f"\ndrift found in {no_drift(4 * seeds)} of {4 * seeds} maps of noise\n")
    print("| Counts of a channel | Spike | Found | False |\n|---|---|---|---|")
    for dose, height in ((0.01, 20), (0.01, 40), (1.0, 100), (100.0, 5000)):
        print(spike_row(dose, height, seeds))
    print("\n| Counts of a pixel | Dead pixels found | False |\n|---|---|---|")
    for counts in (10.0, 20.0, 40.0, 200.0):
        print(dead_row(counts, seeds))


if __name__ == "__main__":
    main()
